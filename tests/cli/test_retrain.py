"""`raytl retrain`: what a scheduler and a person see of a tick."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from raytl.retrain.tick import Retraining, TickFailed
from raytl.store.lease import held
from raytl.store.open import open_store
from tests.cli.conftest import TINY, Raytl
from tests.conftest import MakePhotos


@pytest.fixture
def file(tmp_path: Path, raytl: Raytl) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY + "retrain: {registry: ./models/tiny}\n")
    return path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--watch", "@daily", "--dry-run"], "--watch runs ticks by the clock; it cannot stand with --dry-run"),
        (["--watch", "often"], "--watch 'often': found 1 fields"),
        (["--now", "tomorrow"], "--now tomorrow: found no time; expected ISO 8601"),
        (["--set", "retrain.registry=null"], "retrain.registry: not set"),
        (["--set", "retrain.registry=null", "--watch", "@daily"], "retrain.registry: not set"),
    ],
)
def test_wrong_input_is_exit_code_2(raytl: Raytl, file: Path, words: list[str], told: str) -> None:
    done = raytl("retrain", file, *words)
    assert (done.code, done.out) == (2, "")
    assert told in " ".join(done.err.split())


def test_a_dry_run_prints_the_decision_and_writes_nothing(
    raytl: Raytl, file: Path, make_photos: MakePhotos, tmp_path: Path
) -> None:
    make_photos(12)
    found = json.loads(raytl("retrain", file, "--dry-run", "--json").out)
    assert found["next_step"] == "train"
    assert found["tick"]["decision"] == {"kind": "train", "reasons": ["there is no version yet"], "start": None}
    assert sum(found["tick"]["changes"]["added"].values()) == 36
    assert not (tmp_path / "models").exists()


def test_a_tick_that_finds_another_one_leaves_with_0(raytl: Raytl, file: Path, tmp_path: Path) -> None:
    with held(open_store(str(tmp_path / "models" / "tiny"))):
        done = raytl("retrain", file)
    assert done.code == 0
    assert "another tick is at work" in done.out


def test_a_tick_that_fails_ends_with_1_and_says_that_the_champion_is_as_it_was(raytl: Raytl, file: Path) -> None:
    done = raytl("retrain", file)
    assert done.code == 1
    assert "photos does not exist" in done.err
    assert "The champion is as it was" in done.err


@dataclass
class Clock:
    """Seconds that go by where they are waited for, until somebody presses Ctrl-C."""

    now_s: float
    ends_s: float

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.ends_s:
            raise KeyboardInterrupt


@pytest.fixture
def make_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A clock in central Europe, which `--watch` goes by."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()

    def make(start: datetime, hours: float) -> Clock:
        clock = Clock(start.timestamp(), start.timestamp() + 3600 * hours)
        monkeypatch.setattr("raytl.cli.retrain._now", clock.now)
        monkeypatch.setattr("raytl.cli.retrain._wait", clock.wait)
        return clock

    yield make
    monkeypatch.undo()
    time.tzset()


def test_watch_ticks_by_the_clock_whatever_becomes_of_a_tick_until_ctrl_c(
    raytl: Raytl, file: Path, make_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = make_clock(datetime(2026, 11, 20, 5, 59, 30), hours=25.5)
    ends: list[Exception | None] = [None, TickFailed("the bucket is away"), ZeroDivisionError("a bug"), None]
    began: list[str] = []

    def tick(*_: Any, **__: Any) -> Retraining:
        began.append(f"{clock.now():%d %H:%M}")
        clock.now_s += 90 * 60 if len(began) == 1 else 60
        if (error := ends[len(began) - 1]) is not None:
            raise error
        return Retraining(None, 1, "./models/tiny", held="somebody")

    monkeypatch.setattr("raytl.retrain.tick.retrain", tick)
    done = raytl("retrain", file, "--watch", "0 6-8 * * *", "--json")
    assert began == ["20 06:00", "20 08:00", "21 06:00", "21 07:00"], "none is begun while another is at work"
    assert done.code == 130
    assert "the next tick is at 2026-11-20 06:00" in done.err
    assert "the bucket is away" in done.err
    assert "ZeroDivisionError: a bug" in done.err
    assert "interrupted; the next tick goes on from here" in done.err
    told = [json.loads(line) for line in done.out.splitlines()]
    assert [line.get("held") or line["error"] for line in told] == ["somebody", "TickFailed", "Unexpected", "somebody"]


def test_ctrl_c_in_a_tick_ends_the_watch_too(
    raytl: Raytl, file: Path, make_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clock(datetime(2026, 11, 20, 5, 59), hours=1000)

    def tick(*_: Any, **__: Any) -> Retraining:
        raise KeyboardInterrupt

    monkeypatch.setattr("raytl.retrain.tick.retrain", tick)
    assert raytl("retrain", file, "--watch", "@daily").code == 130


@pytest.mark.parametrize(
    ("start", "expression", "expected"),
    [
        (datetime(2026, 10, 24, 5), "0 6 * * *", ["24 06:00 CEST", "25 06:00 CET", "26 06:00 CET"]),
        (datetime(2026, 3, 28, 5), "0 6 * * *", ["28 06:00 CET", "29 06:00 CEST", "30 06:00 CEST"]),
        (datetime(2026, 3, 28, 5), "30 2 * * *", ["29 03:30 CEST", "30 02:30 CEST"]),
        (datetime(2026, 10, 25, 2, 15, fold=1), "*/30 2-3 25 * *", ["25 02:30 CET", "25 03:00 CET", "25 03:30 CET"]),
    ],
)
def test_watch_goes_by_the_clock_on_the_wall_when_summer_comes_and_goes(
    raytl: Raytl, file: Path, make_clock: Any, monkeypatch: pytest.MonkeyPatch, start: datetime, expression: str,
    expected: list[str],
) -> None:  # fmt: skip
    clock = make_clock(start, hours=55)
    began: list[str] = []

    def tick(*_: Any, **__: Any) -> Retraining:
        began.append(f"{clock.now().astimezone():%d %H:%M %Z}")
        clock.now_s += 10
        return Retraining(None, 1, "./models/tiny", held="somebody")

    monkeypatch.setattr("raytl.retrain.tick.retrain", tick)
    assert raytl("retrain", file, "--watch", expression).code == 130
    assert began == expected


@pytest.mark.thorough
def test_a_watch_that_waits_is_ended_by_sigint_with_130(file: Path) -> None:
    words = [sys.executable, "-m", "raytl", "retrain", str(file), "--watch", "0 0 29 2 *"]
    with subprocess.Popen(words, cwd=file.parent, env=os.environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "the next tick is at 2028-02-29 00:00" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "interrupted" in process.stderr.read()
