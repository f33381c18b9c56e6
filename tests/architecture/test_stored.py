"""What is stored is read by the one reader: nothing else turns JSON into values."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import Module
from tests.architecture.test_floors import parse, sources

READER = "raytl.stored"
PARSERS = {
    "json": ("load", "loads", "JSONDecoder"),
    "pydantic_core": ("from_json",),
    "orjson": ("loads",),
}
VALIDATORS = ("model_validate_json", "validate_json", "model_parse_raw", "parse_raw")
ALLOWED = {
    "raytl.bundle.client": "it runs without raytl; where raytl runs it, `raytl.bundle.opening` reads the card through its schema first",
    "raytl.run.provenance": "the note that pip left beside raytl's own code on this machine",
}
"""Modules that may parse JSON by themselves, each with the reason."""


def parsed(module: Module) -> list[str]:
    """The places in `module` where text becomes values without the reader."""
    if module.name.startswith(READER):
        return []
    return [f"{module.where}:{line} calls {name}" for line, name in sorted(_calls(module))]


def _calls(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        owner = node.value.id if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else ""
        if isinstance(node, ast.Attribute) and node.attr in PARSERS.get(owner, ()):
            yield node.lineno, f"{owner}.{node.attr}"
        if isinstance(node, ast.Attribute) and node.attr in VALIDATORS:
            yield node.lineno, node.attr
        if isinstance(node, ast.ImportFrom) and node.module in PARSERS:
            yield from (
                (node.lineno, f"{node.module}.{alias.name}")
                for alias in node.names
                if alias.name in PARSERS[node.module]
            )


def test_json_becomes_values_in_the_reader_of_stored_formats_alone() -> None:
    lines = [line for module in sources()[0] if module.name not in ALLOWED for line in parsed(module)]
    assert not lines, "declare a `raytl.stored.Format` and read through it:\n" + "\n".join(lines)


def test_every_exception_is_still_one() -> None:
    named = {module.name: module for module in sources()[0]}
    stale = [name for name in ALLOWED if name not in named or not parsed(named[name])]
    assert not stale, f"take these out of ALLOWED: {stale}"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("import json\nx = json.loads('1')", True),
        ("import json\ndef f(file):\n    return json.load(file)", True),
        ("from json import loads", True),
        ("import json\nx = json.JSONDecoder().decode('1')", True),
        ("x = Model.model_validate_json('1')", True),
        ("x = TypeAdapter(int).validate_json('1')", True),
        ("import json\nx = json.dumps(1)", False),
        ("from raytl.stored import Format", False),
    ],
)
def test_a_parser_elsewhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, wrong: bool) -> None:
    monkeypatch.setattr("tests.architecture.sources.REPO", tmp_path)
    assert bool(parsed(parse(tmp_path, "raytl/data/split.py", text))) is wrong


def test_the_reader_itself_may_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.architecture.sources.REPO", tmp_path)
    assert parsed(parse(tmp_path, "raytl/stored/document.py", "import json\nx = json.loads('1')")) == []
