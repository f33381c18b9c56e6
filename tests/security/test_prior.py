"""An earlier sweep may come from anybody: it is data within bounds, and decides nothing but points of the present space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytl.search import earlier
from raytl.search.prior import MOST_TRIALS, best_points
from tests.search.test_earlier import read, write_sweep

GOOD = (0.5, {"optim.lr": 1e-3})
EVIL = {
    "optim.lr": 2e-3, "storage.endpoint_url": "http://evil", "data.uri": "s3://evil", "search.trials": 10**6,
    "model.weights": "../../etc", "compute.cluster": "evil:10001",
}  # fmt: skip


def test_keys_beyond_the_space_are_not_taken(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a", [(0.9, EVIL)])
    assert best_points(read(tmp_path).prior) == [("earlier sweep: a", {"optim.lr": 2e-3})]


@pytest.mark.parametrize(
    "content",
    [b"null\n", b"[" * 100_000 + b"\n", b"\xff\xff\n", b'{"op_code": "8"}\n', b'{"op_code": 8, "user_attr": 7}\n', b"\0" * 99 + b"\n"],
)  # fmt: skip
def test_a_damaged_study_is_left_out_with_the_reason(tmp_path: Path, content: bytes) -> None:
    write_sweep(tmp_path / "good", [GOOD])
    bad = write_sweep(tmp_path / "bad", [GOOD]) / "study.log"
    bad.write_bytes(content + bad.read_bytes())
    found = read(tmp_path)
    assert found.used == "good (1)"
    assert found.unused.startswith("bad (unreadable: bad/study.log")


@pytest.mark.parametrize("score", [None, "high", [], {"a": 1}, True])
def test_a_score_that_is_no_number_makes_the_study_unreadable(tmp_path: Path, score: Any) -> None:
    write_sweep(tmp_path / "bad", [GOOD, (score, {"optim.lr": 1e-3})])
    assert read(tmp_path).unused.startswith("bad (unreadable: bad/study.log")


def test_a_score_that_is_not_finite_does_not_count(tmp_path: Path) -> None:
    file = write_sweep(tmp_path / "a", [GOOD, (7.25, {"optim.lr": 1e-3})]) / "study.log"
    file.write_text(file.read_text().replace("7.25", "NaN"))
    found = read(tmp_path)
    assert found.used in ("", "a (1)")


def test_size_lines_trials_and_sweeps_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(tmp_path / "many", [(n / 1000, {"optim.lr": 1e-3}) for n in range(300)])
    (sweep,) = read(tmp_path).prior.sweeps
    assert (len(sweep.trials), sweep.trials[0].rank) == (MOST_TRIALS, 0.0)
    for name, limit in (("MOST_BYTES", 1000), ("_MOST_LINES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(earlier, name, limit)
            assert read(tmp_path).unused.startswith("many (unreadable: ")
    for number in range(4):
        write_sweep(tmp_path / f"more{number}", [GOOD])
    monkeypatch.setattr(earlier, "MOST_READ", 3)
    found = read(tmp_path)
    assert len(found.prior.sweeps) == 3
    assert "all after the first 3" in found.unused


def test_a_folder_with_a_hostile_name_is_shown_in_plain_characters(tmp_path: Path) -> None:
    write_sweep(tmp_path / "<b>\n\x1b[31m 'x\u202e", [GOOD])
    assert read(tmp_path).used == "_b____31m__x_ (1)"


def test_a_study_that_is_no_file_is_not_opened(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "runs" / "a", [GOOD])
    (folder / "study.log").unlink()
    (folder / "study.log").mkdir()
    assert read(tmp_path / "runs").used == ""
