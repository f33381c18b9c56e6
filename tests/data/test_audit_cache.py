"""Cached findings are used line by line, and not at all if a line is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.data.audit_cache import Finding, load_findings, save_findings
from raytl.data.manifest import Sample

FOUND = {
    "/d/a.jpg": Finding(3, 1, 1, "ab", ""),
    "/d/\udcff.jpg": Finding(4, 1, 2, "cd", "cut short", "", 4095, 12),
}
SAMPLES = [Sample(path, path, "x") for path in FOUND]


def test_findings_come_back_as_they_were_noted_and_only_those_asked_for(own_cache: Path) -> None:
    save_findings(SAMPLES, 100, FOUND)
    assert load_findings(SAMPLES, 100) == FOUND
    assert load_findings([*SAMPLES[:1], Sample("b", "/d/b.jpg", "x")], 100) == {"/d/a.jpg": FOUND["/d/a.jpg"]}
    assert load_findings(SAMPLES, 101) == {}


@pytest.mark.parametrize(
    "line", ["", "7", "[]", '["/d/a.jpg", "3", 1, 1, "ab", "", "", 0, 0]', '["/d/a.jpg", 3]', "[" * 9999]
)
def test_a_damaged_memory_is_none(own_cache: Path, line: str) -> None:
    save_findings(SAMPLES, 100, FOUND)
    (file,) = (own_cache / "audits").glob("*.jsonl")
    file.write_text(file.read_text() + line + "\n")
    assert load_findings(SAMPLES, 100) == {}


def test_the_memory_of_a_set_is_found_by_the_folder_that_all_its_files_share(own_cache: Path) -> None:
    samples = [Sample(path, path, "x") for path in ("/d/a-b/1.jpg", "/d/a/1.jpg", "/d/a/2.jpg")]
    save_findings(samples, 100, {samples[0].path: FOUND["/d/a.jpg"]})
    save_findings(samples[1:], 100, {samples[1].path: FOUND["/d/a.jpg"]})
    assert set(load_findings(samples, 100)) == {samples[0].path}
    assert set(load_findings(samples[::-1], 100)) == {samples[0].path}
    assert set(load_findings(samples[1:], 100)) == {samples[1].path}
