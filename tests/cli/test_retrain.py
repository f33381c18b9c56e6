"""`raytl retrain`: the output and exit code of a tick."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from raytl.retraining import tick as ticking
from raytl.retraining import watch
from raytl.retraining.tick import Retraining, TickFailed
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
    ("words", "error"),
    [
        (["--watch", "@daily", "--dry-run"], "--watch runs ticks by the clock; it cannot be combined with --dry-run"),
        (["--watch", "often"], "--watch 'often': found 1 fields"),
        (["--now", "tomorrow"], "--now tomorrow: not a time; expected ISO 8601"),
        (["--set", "retrain.registry=null"], "retrain.registry: not set"),
        (["--set", "retrain.registry=null", "--watch", "@daily"], "retrain.registry: not set"),
    ],
)
def test_wrong_input_is_exit_code_2(raytl: Raytl, file: Path, words: list[str], error: str) -> None:
    done = raytl("retrain", file, *words)
    assert (done.code, done.out) == (2, "")
    assert error in " ".join(done.err.split())


def test_a_dry_run_prints_the_decision_and_writes_nothing(
    raytl: Raytl, file: Path, make_photos: MakePhotos, tmp_path: Path
) -> None:
    make_photos(12)
    found = json.loads(raytl("retrain", file, "--dry-run", "--json").out)
    assert found["next_step"] == "train"
    assert found["tick"]["decision"] == {"kind": "train", "reasons": ["no version yet"], "start": None}
    assert sum(found["tick"]["changes"]["added"].values()) == 36
    assert not (tmp_path / "models").exists()


def test_a_tick_that_finds_another_one_exits_0(raytl: Raytl, file: Path, tmp_path: Path) -> None:
    with held(open_store(str(tmp_path / "models" / "tiny"))):
        done = raytl("retrain", file)
    assert done.code == 0
    assert "another tick is running" in done.out


def test_a_tick_that_fails_ends_with_1_and_says_that_the_champion_is_unchanged(raytl: Raytl, file: Path) -> None:
    done = raytl("retrain", file)
    assert done.code == 1
    assert "photos does not exist" in done.err
    assert "The champion is unchanged" in done.err


def come(*times: datetime) -> Any:
    """Return a fake `due_times` that yields these times, then raises as Ctrl-C does."""

    def due_times(_: Any, announce: Callable[[datetime], None]) -> Iterator[datetime]:
        for due in times:
            announce(due)
            yield due
        raise KeyboardInterrupt

    return due_times


def test_watch_runs_ticks_until_ctrl_c_even_if_one_fails(
    raytl: Raytl, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[Exception | None] = [None, TickFailed("the bucket is away"), ZeroDivisionError("a bug"), None]

    def tick(*_: Any, **__: Any) -> Retraining:
        if (error := ends.pop(0)) is not None:
            raise error
        return Retraining(None, 1, "./models/tiny", held="somebody")

    monkeypatch.setattr(watch, "due_times", come(*(datetime(2026, 11, 20, hour) for hour in range(6, 10))))
    monkeypatch.setattr(ticking, "retrain", tick)
    done = raytl("retrain", file, "--watch", "0 6-9 * * *", "--json")
    assert done.code == 130
    assert "next tick at 2026-11-20 06:00" in done.err
    assert "the bucket is away" in done.err
    assert "ZeroDivisionError: a bug" in done.err
    assert "interrupted; the next tick resumes from what was recorded" in done.err
    results = [json.loads(line) for line in done.out.splitlines()]
    assert [line.get("held") or line["error"] for line in results] == [
        "somebody",
        "TickFailed",
        "Unexpected",
        "somebody",
    ]


@pytest.mark.parametrize(
    ("words", "said"), [(["--dry-run"], "nothing was written"), ([], "the next tick resumes from what was recorded")]
)
def test_ctrl_c_promises_only_what_was_recorded(
    raytl: Raytl, file: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.setattr(ticking, "retrain", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    done = raytl("retrain", file, *words)
    assert (done.code, done.err.strip()) == (130, f"interrupted; {said}")


def test_ctrl_c_in_a_tick_ends_the_watch_too(raytl: Raytl, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[int] = []

    def tick(*_: Any, **__: Any) -> Retraining:
        began.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "due_times", come(datetime(2026, 11, 20), datetime(2026, 11, 21)))
    monkeypatch.setattr(ticking, "retrain", tick)
    assert raytl("retrain", file, "--watch", "@daily").code == 130
    assert began == [1]


@pytest.mark.thorough
def test_a_watch_that_waits_is_ended_by_sigint_with_130(file: Path) -> None:
    words = [sys.executable, "-m", "raytl", "retrain", str(file), "--watch", "0 0 29 2 *"]
    with subprocess.Popen(words, cwd=file.parent, env=os.environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "next tick at 2028-02-29 00:00" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "interrupted" in process.stderr.read()
