from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytl import compress, export
from raytl.errors import UserError
from raytl.exporting.place import local_folder
from tests.cli.conftest import Raytl


def test_a_folder_may_lie_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_folder("~/bundle") == tmp_path / "bundle"
    assert local_folder(Path("bundle")) == Path("bundle")


@pytest.mark.parametrize("verb", [export, compress])
def test_a_bundle_is_not_written_into_a_folder_called_s3(verb: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"--out s3://bucket/b: found a URI, expected a folder of this machine"):
        verb("runs/trash", out="s3://bucket/b", progress=False)


@pytest.mark.parametrize("command", ["export", "compress"])
def test_the_command_line_names_the_uri_as_it_was_given(raytl: Raytl, command: str) -> None:
    done = raytl(command, "runs/trash", "--out", "s3://bucket/b")
    assert done.code == 2 and "--out s3://bucket/b: found a URI" in done.err
