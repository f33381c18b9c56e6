"""`raytl schema`."""

from __future__ import annotations

import json
from pathlib import Path

from raytl.config.shape import editor_schema
from tests.cli.conftest import Raytl


def test_the_schema_is_printed(raytl: Raytl) -> None:
    done = raytl("schema")
    assert done.code == 0
    assert json.loads(done.out) == editor_schema()


def test_the_schema_is_one_line_for_programs(raytl: Raytl) -> None:
    assert json.loads(raytl("schema", "--json").out.splitlines()[-1]) == editor_schema()


def test_the_schema_goes_to_a_file(raytl: Raytl) -> None:
    done = raytl("schema", "--out", "x.json", "--json")
    assert json.loads(Path("x.json").read_text()) == editor_schema()
    assert json.loads(done.out) == {"out": "x.json"}
    assert "# yaml-language-server: $schema=x.json" in done.err
