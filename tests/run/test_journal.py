"""A journal grows line by line, and a torn line is the only damage that a death can do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raytl.errors import RunError
from raytl.run import journal


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "metrics.jsonl"
    for epoch in range(3):
        journal.append(path, {"epoch": epoch})
    assert journal.read(path) == [{"epoch": 0}, {"epoch": 1}, {"epoch": 2}]


def test_no_file_is_no_records(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "none.jsonl") == []


def test_a_torn_last_line_is_left_out_and_cut_off_by_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2, "b"')
    assert journal.read(path) == [{"a": 1}]
    journal.append(path, {"a": 3})
    assert path.read_bytes() == b'{"a": 1}\n{"a": 3}\n'


def test_a_whole_last_line_without_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}')
    assert journal.read(path) == [{"a": 1}]
    journal.append(path, {"a": 2})
    assert journal.read(path) == [{"a": 1}, {"a": 2}]


def test_a_torn_line_longer_than_one_look_back_is_cut_off_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b": "' + b"x" * 200_000)
    journal.append(path, {"a": 2})
    assert journal.read(path) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("line", ["{torn", "[1, 2]", ""])
def test_damage_before_the_last_line_is_an_error_that_names_the_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n{{"a": 2}}\n')
    with pytest.raises(
        RunError, match=r"x\.jsonl:2: cannot be read as one JSON object a line: .*Fix or delete this line"
    ):
        journal.read(path)


def test_a_record_that_the_disk_took_only_half_of_is_an_error_and_no_record(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    journal.append(path, {"a": 1})
    script = (
        "import resource, sys\nfrom raytl.run import journal\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({path.stat().st_size + 5}, resource.RLIM_INFINITY))\n"
        "try:\n    journal.append(sys.argv[1], {'a': 2, 'b': 3})\n"
        "except OSError as error:\n    print('no room')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "no room\n"
    assert journal.read(path) == [{"a": 1}]
    journal.append(path, {"a": 3})
    assert journal.read(path) == [{"a": 1}, {"a": 3}]
