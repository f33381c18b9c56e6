"""Ticks on moto's S3 and on Swift as itself, by real processes: overlap, a kill, a rollback, cleanup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raytl.cli.main import app
from raytl.config.dump import to_yaml
from raytl.errors import RegistryError
from raytl.evaluation.predict import predict
from raytl.registry.cleaning import clean, plan_cleanup
from raytl.registry.reader import folder_of
from raytl.registry.registry import Registry
from raytl.retraining.ticks import all_ticks, last_tick, versions_in_use
from raytl.store.open import open_store
from tests.conftest import S3, SWIFT
from tests.retraining.conftest import Days, MakeDays

pytestmark = [pytest.mark.slow, pytest.mark.thorough, pytest.mark.lengthy]
PATIENCE_S, LOOK_EVERY_S = 240.0, 0.05


@dataclass
class Place:
    """An experiment as ./toy.yaml, whose versions and runs go to a bucket."""

    days: Days
    bucket: str
    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def registry(self) -> Registry:
        return self.days.registry

    def started(self) -> subprocess.Popen[str]:
        """A tick in a process of its own."""
        command, pipe = [sys.executable, "-m", "raytl", "retrain", "toy.yaml", "--json"], subprocess.PIPE
        self.processes.append(
            subprocess.Popen(command, cwd=self.folder, env=os.environ, stdout=pipe, stderr=pipe, text=True)
        )
        return self.processes[-1]

    def raytl(self, *words: str) -> tuple[dict[str, Any], str]:
        """What `raytl WORDS...` in this process says as JSON, and on standard error, where it ends well."""
        done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout), done.stderr


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def until(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(int(PATIENCE_S / LOOK_EVERY_S)):
        if found():
            return
        assert process.poll() is None, process.communicate()[1]
        threading.Event().wait(LOOK_EVERY_S)
    pytest.fail(f"nothing came in {PATIENCE_S:g} s")


@pytest.fixture(params=[S3, SWIFT])
def place(
    request: pytest.FixtureRequest, make_days: MakeDays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    bucket = request.getfixturevalue(request.param)
    days = make_days(f"s3://{bucket}/models/toy", epochs=30).where(storage__uri=f"s3://{bucket}/runs")
    made = Place(days, bucket, tmp_path)
    (tmp_path / "toy.yaml").write_text(to_yaml(days.experiment))
    monkeypatch.chdir(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def test_a_second_tick_leaves_and_one_that_was_killed_in_training_is_gone_on_with(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = place.started()
    runs = open_store(f"s3://{place.bucket}/runs")
    until(lambda: any(info.key.endswith("last/WHOLE.json") for info in runs.list()), first)
    first.send_signal(signal.SIGSTOP)  # so that it is at work as long as the second one needs to find it
    second = place.days.tick()
    assert second.tick is None
    assert f"another raytl (pid {first.pid} on" in second.held
    first.send_signal(signal.SIGKILL)
    first.communicate()
    interrupted = last_tick(place.registry.store)
    assert interrupted is not None
    assert (interrupted.stage, place.registry.numbers(), place.registry.history()) == ("decided", [], [])
    monkeypatch.setenv("RAYTL_CACHE", str(place.folder / "another machine"))
    third, said = place.raytl("retrain", "toy.yaml")
    assert f"Resuming tick {interrupted.id}" in said
    assert "resuming from the last checkpoint" in said, said
    assert (third["tick"]["id"], third["tick"]["interruptions"]) == (interrupted.id, 1)
    assert (third["tick"]["outcome"], third["champion"], place.registry.numbers()) == ("promote", 1, [1])


def test_of_two_ticks_that_start_at_once_one_makes_a_version(place: Place) -> None:
    both = [place.started() for _ in range(2)]
    said = [ended(process) for process in both]
    worked = [found["tick"]["outcome"] for found in said if found["tick"] is not None]
    assert sorted(worked) in (["promote"], ["promote", "skip"]), "the second came while the first was at work, or later"
    assert (place.registry.numbers(), len(place.registry.history())) == ([1], 1)
    assert [tick.outcome for tick in all_ticks(place.registry.store) if tick.version] == ["promote"]


def test_a_champion_is_rolled_back_and_what_nobody_needs_goes(place: Place) -> None:
    place.days.tick()
    registry, one = place.registry, place.registry.record(1)
    for number in (2, 3, 4, 5):
        registry.publish(folder_of(registry, one), one.about)
        if number in (3, 4):
            place.raytl("models", "promote", registry.uri, str(number), "--why", "by hand")
    back, said = place.raytl("models", "rollback", registry.uri, "--why", "misses wet cardboard")
    assert back["aliases"] == {"champion": 3, "previous": 4}
    conditions_hold = registry.store.guards("moves/00000001.json", registry.store.get_bytes("moves/00000001.json"))
    assert ("does not support conditional puts" in said) is not conditions_hold
    assert [move.why for move in registry.history()][-2:] == ["by hand", "misses wet cardboard"]
    would, _ = place.raytl("models", "gc", registry.uri, "--keep", "1", "--dry-run")
    assert (would["removed"], registry.numbers()) == ([2], [1, 2, 3, 4, 5])
    gone, _ = place.raytl("models", "gc", registry.uri, "--keep", "1")
    assert (gone["removed"], registry.numbers()) == ([2], [1, 3, 4, 5])
    assert gone["kept"]["1"] == "has the splits of all images so far"
    photos = sorted(place.days.photos.rglob("*.jpg"))[:2]
    assert len(predict(f"models:{registry.uri}@champion", photos, out=place.folder / "p.csv").predicted) == 2


def test_promotions_rollbacks_and_cleanings_at_once_leave_a_champion_that_is_whole(place: Place) -> None:
    folder = place.folder / "made"
    folder.mkdir()
    (folder / "model").write_text("weights")
    registry = place.registry
    place.days.tick()
    about = registry.record(1).about
    for _ in range(4):
        registry.publish(folder, about)
    registry.promote(2, registry.state(), "me", "")

    def moved(number: int) -> None:
        found = Registry.open(registry.uri)
        try:
            if number:
                found.promote(number, found.state(), "me", "at once")
            else:
                found.rollback("you", "at once")
        except RegistryError:
            pass  # another one was first, or it was removed in that moment

    def cleaned(_: int) -> None:
        clean(registry, plan_cleanup(registry, 1, versions_in_use(registry.store)))

    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(moved, 3), pool.submit(cleaned, 0), pool.submit(moved, 0), pool.submit(moved, 4)]
        for job in jobs:
            job.result()
    state, history = registry.state(), registry.history()
    assert [move.number for move in history] == list(range(1, len(history) + 1))
    before: dict[str, int] = {}
    for move in history:
        for alias, (old, new) in move.moved.items():
            assert before.get(alias) == old
            before |= {alias: new} if new is not None else {}
    assert before == state.aliases
    for number in state.aliases.values():
        assert folder_of(registry, registry.record(number)).is_dir()
