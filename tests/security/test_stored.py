"""Every stored format is read by the one reader, and what it gives is within bounds whatever the bytes are."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from raytl.store import cache
from tests.architecture.sources import modules
from tests.security.fuzz import outcome
from tests.security.stored_document import Stored
from tests.security.stored_formats import ALL

each_format = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'"x"',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 10_000,
    b"NaN",
    b"\xff\xfe",
    b'"\\ud800"',
    b'{"files": {}}',
    b'{"a": 1, "a": 2}',
    b"\0" * 100,
]


def declared() -> set[str]:
    """The formats in raytl: module-level constants that are made by `Format[...](...)`."""
    found = set()
    for module in modules("raytl"):
        for node in module.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Format["):
                found |= {f"{module.name.removeprefix('raytl.')}:{ast.unparse(target)}" for target in node.targets}
    return found


def test_every_format_in_raytl_is_attacked_here() -> None:
    assert declared() == {kind.name for kind in ALL if kind.name.endswith("_FORMAT")}


@each_format
def test_what_raytl_writes_is_read(kind: Stored, tmp_path: Path) -> None:
    kind.read(kind.valid, tmp_path)


@each_format
@pytest.mark.parametrize("content", HOSTILE, ids=lambda content: repr(content[:16]))
def test_hostile_bytes_are_refused_by_the_name_of_the_object(kind: Stored, content: bytes, tmp_path: Path) -> None:
    assert outcome(kind, content, tmp_path) in ("read", "refused")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    assert cache.cache_root() == tmp_path / "cache"
