"""What an earlier audit found is believed line by line, and not at all where a line is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.data.manifest import Sample
from raytl.data.remembered import Finding, recall, remember

FOUND = {
    "/d/a.jpg": Finding(3, 1, 1, "ab", ""),
    "/d/\udcff.jpg": Finding(4, 1, 2, "cd", "cut short", "", 4095, 12),
}
SAMPLES = [Sample(path, path, "x") for path in FOUND]


def test_findings_come_back_as_they_were_noted_and_only_those_asked_for(own_cache: Path) -> None:
    remember(SAMPLES, 100, FOUND)
    assert recall(SAMPLES, 100) == FOUND
    assert recall([*SAMPLES[:1], Sample("b", "/d/b.jpg", "x")], 100) == {"/d/a.jpg": FOUND["/d/a.jpg"]}
    assert recall(SAMPLES, 101) == {}


@pytest.mark.parametrize(
    "line", ["", "7", "[]", '["/d/a.jpg", "3", 1, 1, "ab", "", "", 0, 0]', '["/d/a.jpg", 3]', "[" * 9999]
)
def test_a_damaged_memory_is_none(own_cache: Path, line: str) -> None:
    remember(SAMPLES, 100, FOUND)
    (file,) = (own_cache / "audits").glob("*.jsonl")
    file.write_text(file.read_text() + line + "\n")
    assert recall(SAMPLES, 100) == {}


def test_the_memory_of_a_set_is_found_by_the_folder_that_all_its_files_share(own_cache: Path) -> None:
    samples = [Sample(path, path, "x") for path in ("/d/a-b/1.jpg", "/d/a/1.jpg", "/d/a/2.jpg")]
    remember(samples, 100, {samples[0].path: FOUND["/d/a.jpg"]})
    remember(samples[1:], 100, {samples[1].path: FOUND["/d/a.jpg"]})
    assert set(recall(samples, 100)) == {samples[0].path}
    assert set(recall(samples[::-1], 100)) == {samples[0].path}
    assert set(recall(samples[1:], 100)) == {samples[1].path}
