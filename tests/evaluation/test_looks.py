"""Looks at the test split that die, find the disk full, or meet another one: every look has one number and one report."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raytl.errors import Denied, RunError
from raytl.evaluation.evaluate import evaluate
from raytl.events import Event, Message, Recorder, Work
from raytl.registry.registry import Registry
from raytl.run import RunFolder, atomic
from raytl.run.atomic import replace_dir
from raytl.run.ledger import looks
from raytl.run.run_store import RunStore
from raytl.store.lease import held
from raytl.store.memory import MemoryStore
from raytl.store.open import open_store
from raytl.tasks.classification.report import as_json
from tests.registry.conftest import about


class Killed(BaseException):
    """The end of a process, which nothing catches."""


def _killed(*_: object, **__: object) -> None:
    raise Killed


@contextmanager
def killed_in(monkeypatch: pytest.MonkeyPatch, place: str, how: Callable[..., None] = _killed) -> Iterator[None]:
    """Inside, a call of what is at `place` ends the process."""
    with monkeypatch.context() as patch:
        patch.setattr(place, how)
        yield


@pytest.mark.parametrize(
    "place",
    [
        "raytl.run.run_store.RunStore.push",
        "raytl.evaluation.evaluate.score_shard",
        "raytl.tasks.classification.reporting.bootstrap",
        "raytl.tasks.classification.reporting.pictures",
        "raytl.evaluation.evaluate.write_json",
        "raytl.evaluation.evaluate.replace_dir",
    ],
)
def test_a_look_that_died_before_its_report_is_finished_under_its_own_number(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    with killed_in(monkeypatch, place), pytest.raises(Killed, match=r"^$"):
        evaluate(run.root, resamples=20)
    (begun,) = looks(run)
    watcher = Recorder()
    found = evaluate(run.root, resamples=20, on_event=watcher)
    assert (found.look, found.folder) == (1, str(run.evaluation / "test"))
    assert looks(run) == [begun]
    finishing = f"completing evaluation 1 of the test split, which {begun.who} began on {begun.when} and did not finish"
    assert Message(finishing) in watcher.events


def test_a_later_look_that_died_is_finished_too_and_is_not_taken_for_the_one_before(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(run.root, resamples=20)
    with killed_in(monkeypatch, "raytl.evaluation.evaluate.score_shard"), pytest.raises(Killed, match=r"^$"):
        evaluate(run.root, again=True, resamples=20)
    assert evaluate(run.root, again=True, resamples=20).look == 2
    assert evaluate(run.root, resamples=20).look == 2
    assert len(looks(run)) == 2


def test_a_process_that_died_after_its_report_leaves_it_to_be_shown(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced_then_killed(*folders: Path) -> None:
        replace_dir(*folders)
        raise Killed

    place = "raytl.evaluation.evaluate.replace_dir"
    with killed_in(monkeypatch, place, replaced_then_killed), pytest.raises(Killed, match=r"^$"):
        evaluate(run.root, resamples=20)
    monkeypatch.setattr("raytl.evaluation.evaluate.score_shard", _killed)
    assert evaluate(run.root, resamples=20).look == 1


@pytest.fixture
def in_bucket(run: RunFolder, own_cache: Path) -> RunStore:
    """The run in a bucket."""
    run_store = RunStore(f"memory://{own_cache}/runs/demo")
    shutil.copytree(run.root, run_store.folder.root)
    run_store.push_all()
    return run_store


@pytest.mark.parametrize("before", ["its report", "its report was stored"])
def test_a_look_at_a_run_in_a_bucket_that_died_is_finished_by_another_machine(
    in_bucket: RunStore, own_cache: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    run_store = in_bucket
    push, calls = RunStore.push, iter((True, False))

    def second_push_killed(self: RunStore) -> None:
        push(self) if next(calls) else _killed()

    place, how = {
        "its report": ("raytl.evaluation.evaluate.score_shard", _killed),
        "its report was stored": ("raytl.run.run_store.RunStore.push", second_push_killed),
    }[before]
    with killed_in(monkeypatch, place, how), pytest.raises(Killed, match=r"^$"):
        evaluate(run_store.uri, resamples=20)
    shutil.rmtree(own_cache)
    found = evaluate(run_store.uri, resamples=20)
    assert (found.look, len(looks(run_store.folder))) == (1, 1)
    shutil.rmtree(own_cache)
    monkeypatch.setattr("raytl.evaluation.evaluate.score_shard", _killed)
    assert as_json(evaluate(run_store.uri, resamples=20)) == as_json(found)


def _disk_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "place",
    ["raytl.run.atomic.write_bytes", "raytl.run.atomic.sync_tree", "raytl.tasks.classification.reporting.pictures"],
)
def test_a_look_whose_report_finds_the_disk_full_is_finished_under_its_own_number(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    with killed_in(monkeypatch, place, _disk_full), pytest.raises(OSError, match="No space left|disk is full"):
        evaluate(run.root, resamples=20)
    assert list(run.evaluation.iterdir()) == [], "nothing half-written"
    (begun,) = looks(run)
    assert evaluate(run.root, resamples=20).look == 1
    assert looks(run) == [begun]


def test_a_look_that_the_disk_has_no_room_to_record_is_not_taken(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        killed_in(monkeypatch, "raytl.run.journal.os.fsync", _disk_full),
        pytest.raises(OSError, match="No space left|disk is full"),
    ):
        evaluate(run.root, resamples=20)
    assert not run.evaluation.exists()
    assert (evaluate(run.root, resamples=20).look, len(looks(run))) == (1, 1)


def test_a_disk_that_fills_after_a_look_was_stored_in_a_bucket_costs_no_look(
    in_bucket: RunStore, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, writes = atomic.write_bytes, iter((False, True))

    def full_after_the_ledger(path: str | Path, data: bytes) -> None:
        if Path(path).name == ".mirror.json" and in_bucket.folder.ledger.exists() and next(writes):
            _disk_full()
        real(path, data)

    place = "raytl.run.atomic.write_bytes"
    with (
        killed_in(monkeypatch, place, full_after_the_ledger),
        pytest.raises(OSError, match="No space left|disk is full"),
    ):
        evaluate(in_bucket.uri, resamples=20)
    assert open_store(in_bucket.uri).exists("test_ledger.jsonl")
    assert (evaluate(in_bucket.uri, resamples=20).look, len(looks(in_bucket.folder))) == (1, 1)
    shutil.rmtree(own_cache)
    assert (evaluate(in_bucket.uri, resamples=20).look, len(looks(in_bucket.folder))) == (1, 1)


@pytest.mark.parametrize("before", ["no look", "an unfinished look"])
def test_of_two_machines_that_look_at_a_run_in_a_bucket_at_once_the_second_is_told_who_does(
    in_bucket: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    if before == "an unfinished look":
        with killed_in(monkeypatch, "raytl.evaluation.evaluate.score_shard"), pytest.raises(Killed, match=r"^$"):
            evaluate(in_bucket.uri, resamples=20)
    refused: list[str] = []

    def another_machine(event: Event) -> None:
        if isinstance(event, Work) and not refused:
            with monkeypatch.context() as patch:
                patch.setenv("RAYTL_CACHE", str(tmp_path / "another"))
                with pytest.raises(RunError, match=r"another raytl \(pid \d+ on .*\) is writing there") as caught:
                    evaluate(in_bucket.uri, resamples=20)
                refused.append(str(caught.value))

    first = evaluate(in_bucket.uri, resamples=20, on_event=another_machine)
    assert refused
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "another"))
    shown = as_json(evaluate(in_bucket.uri, resamples=20))
    assert {**shown, "folder": first.folder} == as_json(first)
    store = open_store(in_bucket.uri)
    assert len(store.get_bytes("test_ledger.jsonl").splitlines()) == 1
    assert [info.key for info in store.list("evaluation/") if info.key.endswith("report.json")] == [
        "evaluation/test/report.json"
    ]


def test_of_two_machines_that_look_at_a_published_version_at_once_the_second_is_told_who_does(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry.open(f"memory://{tmp_path}/models")
    registry.publish(run.root, about())
    refused: list[str] = []

    def another_machine(event: Event) -> None:
        if isinstance(event, Work) and not refused:
            with monkeypatch.context() as patch:
                patch.setenv("RAYTL_CACHE", str(tmp_path / "another"))
                with pytest.raises(
                    RunError, match=r"reports/000001: another raytl \(pid \d+ on .*\) is writing there"
                ) as caught:
                    evaluate(f"models:{registry.uri}@1", resamples=20)
                refused.append(str(caught.value))
        with held(registry.store):  # a tick is not kept waiting
            pass

    first = evaluate(f"models:{registry.uri}@1", resamples=20, on_event=another_machine)
    assert refused
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "another"))
    assert evaluate(f"models:{registry.uri}@1", resamples=20).metrics == first.metrics
    assert len(registry.store.get_bytes("reports/000001/test_ledger.jsonl").splitlines()) == 1


def test_a_look_that_is_being_taken_is_not_one_that_died(run: RunFolder) -> None:
    def another(_: Event) -> None:
        with pytest.raises(RunError, match="another process is evaluating the test split of this run; wait for it"):
            evaluate(run.root, resamples=20)

    evaluate(run.root, resamples=20, on_event=another)
    assert len(looks(run)) == 1


def test_a_stored_report_is_shown_to_whoever_may_only_read_the_bucket(
    in_bucket: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(in_bucket.uri, resamples=20)

    def denied(*_: object) -> None:
        raise Denied("may not write")

    for name in ("put_bytes", "put_file", "delete"):
        monkeypatch.setattr(MemoryStore, name, denied)
    assert as_json(evaluate(in_bucket.uri, resamples=20)) == as_json(first)
