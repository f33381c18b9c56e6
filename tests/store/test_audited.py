"""A node knows which of its copies of objects are those that a driver audited."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.store.audited import are_marked, audited_name, identify_cache, is_audited_here, mark
from raytl.store.pins import pin
from raytl.store.pulled import Place, places_with
from raytl.store.sync import pull


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_text(name)
    return source


def test_only_a_node_with_the_cache_of_the_driver_needs_no_check(own_cache: Path, tmp_path: Path) -> None:
    nothing_pulled = audited_name()
    (own_cache / "pulled").mkdir()
    identify_cache()
    name = audited_name()
    identify_cache()
    assert is_audited_here(name) and is_audited_here(audited_name())
    assert not is_audited_here(nothing_pulled) and not is_audited_here("")
    (own_cache / "pulled").rename(tmp_path / "pulled")
    assert not is_audited_here(name)
    (own_cache / "pulled").mkdir()
    identify_cache()
    assert not is_audited_here(name)


@pytest.mark.parametrize(
    ("change", "is_current"), [("none", True), ("new", False), ("replaced", False), ("removed", False)]
)
def test_a_pull_that_changes_files_removes_what_said_that_they_are_current(
    change: str, is_current: bool, source: Path
) -> None:
    files = pull(str(source))
    places = places_with([f"{files}/a"])
    assert places == {Place(files.parent)}
    mark(places, ["one", ""])
    assert are_marked(places, ["", "one"]) and not are_marked(places, ["", "other"])
    if change == "removed":
        (source / "a").unlink()
    elif change != "none":
        (source / {"new": "c", "replaced": "a"}[change]).write_text("A")
    pull(str(source))
    assert are_marked(places, ["one"]) == is_current


def test_a_pull_of_some_objects_leaves_what_is_said_of_the_others(source: Path) -> None:
    files = pull(str(source))
    mark(places_with([f"{files}/a"]), ["one"])
    pull(str(source), only=["a"])
    assert are_marked(places_with([f"{files}/a"]), ["one"])


def test_files_elsewhere_are_in_no_place(own_cache: Path) -> None:
    pin(own_cache / "pulled" / "place")
    paths = ["/photos/pulled/a", f"{own_cache}/unpacked/x/a", f"{own_cache}/pulled/place/files/a/b", "s3://b/pulled/x"]
    assert places_with(paths) == {Place(own_cache / "pulled" / "place")}
    assert are_marked(places_with(paths[:2]), ["any"])
