"""Cached findings are used line by line, and not at all if a line is damaged."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from raytl.data.audit_cache import Finding, Findings, load_findings, save_findings
from raytl.data.manifest import Sample

AB, CD = "ab" * 32, "cd" * 32
FOUND = {
    "/d/a.jpg": Finding(3, 1, 1, AB, ""),
    "/d/\udcff.jpg": Finding(4, 1, 2, CD, "cut short", "", 4095, 12),
}
LEVELS = "00000000"


def numbers(*values: int) -> str:
    return struct.pack("<3q", *values).hex()


NUMBERS = numbers(3, 1, 1)
SAMPLES = [Sample(path, path, "x") for path in FOUND]


def noted(samples: list[Sample], found: Mapping[str, Finding], max_pixels: int = 100) -> None:
    """Note the findings of those samples that have one."""
    findings = Findings(samples)
    for row, sample in enumerate(samples):
        if sample.path in found:
            findings.put(row, found[sample.path])
    save_findings(max_pixels, findings)


def test_findings_come_back_as_they_were_noted_and_only_those_asked_for(own_cache: Path) -> None:
    noted(SAMPLES, FOUND)
    assert load_findings(SAMPLES, 100) == FOUND
    assert load_findings([*SAMPLES[:1], Sample("b", "/d/b.jpg", "x")], 100) == {"/d/a.jpg": FOUND["/d/a.jpg"]}
    assert load_findings(SAMPLES, 101) == {}


@pytest.mark.parametrize(
    "line",
    [
        "", "7", "[]", '["/d/a.jpg", "3", "ab", "", [], []]', '["/d/a.jpg", 3]', "[" * 9999,
        '[[], "", "", "", [], []]',
        f'[["/d/a.jpg"], [3], "{AB}", "{LEVELS}", "", [], []]',
        f'[[3], "{NUMBERS}", "{AB}", "{LEVELS}", "", [], []]',
        f'[["/d/a.jpg"], "{NUMBERS}", "{AB[1:]}", "{LEVELS}", "", [], []]',
        f'[["/d/a.jpg"], "{NUMBERS}", "{" " * 64}", "{LEVELS}", "", [], []]',
        f'[["/d/a.jpg"], "{NUMBERS}", "{"x" * 64}", "{LEVELS}", "", [], []]',
        f'[["/d/a.jpg"], "{NUMBERS}", "{AB[2:]}", "{LEVELS}", "", [], []]',
        f'[["/d/a.jpg"], "{NUMBERS * 2}", "{AB}", "{LEVELS}", "", [], []]',
        f'[["/d/a.jpg"], "{numbers(-3, 1, 1)}", "{AB}", "{LEVELS}", "", [], []]',
        f'[["/d/a.jpg"], "{NUMBERS}00", "{AB}", "{LEVELS}", "", [], []]',
        f'[["/d/a.jpg"], "{NUMBERS}", "{AB}", "{LEVELS[2:]}", "", [], []]',
        f'[["/d/a.jpg"], "{NUMBERS}", "{AB}", "{LEVELS}", "", ["", ""], []]',
        f'[["/d/a.jpg"], "{NUMBERS}", "{AB}", "{LEVELS}", "", "", []]',
        f'[["/d/a.jpg"], "{NUMBERS}", "{AB}", "{LEVELS}", "", [], [true]]',
        f'[["/d/a.jpg"], "{NUMBERS}", "{AB}", "{LEVELS}", "", [], [], []]',
    ],
)  # fmt: skip
def test_a_damaged_memory_is_none(own_cache: Path, line: str) -> None:
    noted(SAMPLES, FOUND)
    (file,) = (own_cache / "audits").glob("*.jsonl")
    file.write_text(file.read_text() + line + "\n")
    assert load_findings(SAMPLES, 100) == {}


def test_a_line_of_one_finding_is_read(own_cache: Path) -> None:
    """The lines that are rejected above differ from this one."""
    noted(SAMPLES[1:], FOUND)
    (file,) = (own_cache / "audits").glob("*.jsonl")
    line = f'[["/d/\\udcff.jpg"], "{NUMBERS}", "{AB}", "{LEVELS}", "", [], []]'
    file.write_text(file.read_text().splitlines()[0] + f"\n{line}\n")
    assert load_findings(SAMPLES[1:], 100) == {SAMPLES[1].path: FOUND["/d/a.jpg"]}


def test_findings_are_found_in_any_order_and_beside_new_samples(own_cache: Path) -> None:
    samples = [Sample(str(i), f"/d/{i:05d}.jpg", "x") for i in range(4200)]
    found = {sample.path: Finding(i, i, i, f"{i + 1:064x}", "") for i, sample in enumerate(samples)}
    noted(samples, found)
    assert load_findings(samples, 100) == found
    assert load_findings(samples[::-1], 100) == found
    assert load_findings(samples[::3], 100) == {sample.path: found[sample.path] for sample in samples[::3]}
    noted(samples[::2], found)
    assert load_findings(samples, 100) == {sample.path: found[sample.path] for sample in samples[::2]}


def test_the_memory_of_a_set_is_found_by_the_folder_that_all_its_files_share(own_cache: Path) -> None:
    samples = [Sample(path, path, "x") for path in ("/d/a-b/1.jpg", "/d/a/1.jpg", "/d/a/2.jpg")]
    noted(samples, {samples[0].path: FOUND["/d/a.jpg"]})
    noted(samples[1:], {samples[1].path: FOUND["/d/a.jpg"]})
    assert set(load_findings(samples, 100)) == {samples[0].path}
    assert set(load_findings(samples[::-1], 100)) == {samples[0].path}
    assert set(load_findings(samples[1:], 100)) == {samples[1].path}


def test_the_common_folder_is_that_of_the_first_and_the_last_of_ordered_keys(own_cache: Path) -> None:
    samples = [Sample(key, f"/d/{key}", "x") for key in ("a/1.jpg", "a/2.jpg", "b/1.jpg")]
    noted(samples, {samples[0].path: FOUND["/d/a.jpg"]})
    assert set(load_findings(samples, 100)) == {samples[0].path}
    assert set(load_findings([*samples[1:], samples[0]], 100)) == {samples[0].path}
