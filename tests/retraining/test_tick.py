"""One idempotent tick, whatever is killed on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from raytl.config.override import override
from raytl.data.split_memory import Memory
from raytl.errors import ConfigError, RegistryError, Unavailable
from raytl.events import ignore
from raytl.registry import creation
from raytl.registry.cleaning import plan_cleanup
from raytl.registry.registry import Registry
from raytl.retraining import context, start, steps, ticks
from raytl.retraining import tick as tick_module
from raytl.retraining.after import after_tick
from raytl.retraining.changes import Changes
from raytl.retraining.gate import Promote
from raytl.retraining.observe import Observation
from raytl.retraining.policy import Skip, Train
from raytl.retraining.splits import SplitSamples
from raytl.retraining.tick import TickFailed
from raytl.retraining.ticks import TICK_FORMAT, Tick, all_ticks, last_tick, new_tick, versions_in_use
from raytl.store.lease import held
from raytl.store.local import LocalStore
from raytl.store.open import open_store
from tests.conftest import S3, SWIFT
from tests.retraining.conftest import START, MakeDays

STAGES = ("decided", "trained", "compared", "published", "done")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests to folder stores."""
    calls: list[str] = []
    for name in ("list", "get_bytes", "get_to_file", "put_bytes", "put_file", "stat"):
        real = getattr(LocalStore, name)

        def counted(self: LocalStore, *args: Any, _name: str = name, _real: Any = real) -> Any:
            calls.append(f"{_name} {args[0] if args else ''}")
            return _real(self, *args)

        monkeypatch.setattr(LocalStore, name, counted)
    return calls


def test_a_tick_needs_to_know_its_registry(make_days: MakeDays) -> None:
    with pytest.raises(ConfigError, match=r"retrain\.registry: not set; expected the folder or s3:// prefix"):
        make_days().where(retrain__registry=None).tick()


def test_data_that_cannot_be_listed_are_reported_also_where_the_task_is_not_set(
    make_days: MakeDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise Unavailable("s3://photos: no answer")

    monkeypatch.setattr(tick_module, "with_task", fails)
    reported: list[Tick] = []
    with pytest.raises(TickFailed, match="s3://photos: no answer\n  The champion is unchanged; nothing was recorded"):
        make_days(per_class=1).tick(after=lambda _, tick: reported.append(tick))
    assert [(tick.outcome, tick.over, tick.error) for tick in reported] == [
        ("failure", False, "s3://photos: no answer")
    ]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_metric_that_the_task_does_not_have_is_reported_before_anything_is_read(
    make_days: MakeDays, requests: list[str], dry_run: bool
) -> None:
    reported: list[Tick] = []
    days = make_days(per_class=1).where(task="classification", retrain__gate__metric="f1")
    with pytest.raises(ConfigError, match=r"retrain\.gate\.metric: found 'f1', which is no metric of this task"):
        days.tick(dry_run=dry_run, after=lambda _, tick: reported.append(tick))
    assert requests == []
    assert [tick.outcome for tick in reported] == ([] if dry_run else ["failure"])


def test_the_champion_of_another_task_is_reported_before_the_training(
    make_days: MakeDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = SimpleNamespace(card=SimpleNamespace(task="detection"), run="models:toy@4")
    seen = Observation(SplitSamples((), {}, Memory({}, {})), Changes("s", 4, added={"red": 300}), "s")
    monkeypatch.setattr(start, "observe", lambda *_: seen)
    monkeypatch.setattr(start, "folder_of", lambda *_: Path())
    monkeypatch.setattr(start, "SavedModel", lambda *_: champion)
    monkeypatch.setattr(context.TickContext, "record", lambda *_: SimpleNamespace(number=4))
    days = make_days(per_class=1)
    tick = replace(new_tick(START, "me", None), champion=4, trained=4, trained_at=START.isoformat())
    ours = context.TickContext(days.experiment, days.registry, START, ignore)
    with pytest.raises(
        RegistryError, match="models:toy@4: the champion is a model for detection, and the challenger one"
    ):
        start.observe_and_decide(ours, tick, "")


def test_the_first_version_is_the_champion_and_unchanged_data_costs_a_listing(
    make_days: MakeDays, requests: list[str]
) -> None:
    days = make_days()
    planned_ = days.tick(dry_run=True)
    assert (planned_.next_step, days.registry.numbers()) == ("train", [])
    assert isinstance(planned_.tick and planned_.tick.decision, Train)
    first = days.tick()
    assert first.tick is not None
    assert (first.tick.outcome, first.champion, days.registry.state().champion) == ("promote", 1, 1)
    requests.clear()
    second = days.tick()
    assert (second.tick and second.tick.outcome, second.champion) == ("skip", 1)
    calls = [call.split("/")[0] for call in requests if not call.startswith("stat")]
    assert calls == ["list ticks", "get_bytes ticks", "list ", "list moves", "get_bytes moves", "put_bytes skips"]


def test_a_tick_that_fails_leaves_the_champion_and_says_so_in_its_record(make_days: MakeDays) -> None:
    days = make_days()
    days.tick()
    (days.photos / "red" / "bad.jpg").write_bytes(b"no image")
    reported: list[Tick] = []
    with pytest.raises(TickFailed, match=r"bad\.jpg[\s\S]*The champion is unchanged") as caught:
        days.tick(after=lambda _, tick: reported.append(tick))
    assert caught.value.exit_code == 1
    last = last_tick(days.registry.store)
    assert last is not None
    assert [last] == reported
    assert (last.stage, last.outcome, last.over, days.registry.state().champion) == ("failed", "failure", True, 1)
    (days.photos / "red" / "bad.jpg").unlink()
    assert days.tick().tick is not None


def test_a_second_tick_names_the_lease_holder(make_days: MakeDays) -> None:
    days = make_days()
    with held(days.registry.store):
        found = days.tick()
    assert found.tick is None
    assert "another raytl (pid" in found.held


@pytest.mark.thorough
def test_new_classes_are_learnt_and_known_rows_are_kept(make_days: MakeDays) -> None:
    days = make_days(epochs=2)
    days.tick()
    days.add(24, ("amber", "blue"))
    found = days.tick().tick
    assert found is not None
    assert found.changes is not None
    assert found.changes.new_classes == {"amber": 24}
    assert found.comparison is not None
    assert found.comparison.unknown == ("amber",)
    record = days.registry.record(2)
    assert record.about.classes == ("amber", "blue", "green", "red")
    assert record.about.parent == 1


@pytest.mark.thorough
def test_a_removed_class_waits_for_a_decision_unless_it_may_be_dropped(make_days: MakeDays) -> None:
    days = make_days()
    days.tick()
    shutil.rmtree(days.photos / "green")
    days.add(12)
    shutil.rmtree(days.photos / "green")
    found = days.tick().tick
    assert found is not None
    assert isinstance(found.decision, Skip)
    assert (found.outcome, found.decision.attention) == ("attention", True)
    assert days.where(retrain__how__removed_classes="drop").tick().tick is not None
    assert days.registry.record(2).about.classes == ("blue", "red")


@pytest.mark.thorough
def test_splits_never_change_and_copies_of_test_images_are_left_out(make_days: MakeDays) -> None:
    days = make_days()
    days.tick()
    one = splits(days.registry, 1)
    held_out = next(key for key, split in one.items() if split == "test")
    label, name = held_out.split("/")
    for place in range(12):  # most of them get another split by their keys
        copy = days.photos / label / f"copy-{place}-{name}"
        Image.open(days.photos / held_out).save(copy, quality="keep", comment=f"copy {place}")
    days.add(8)
    found = days.tick().tick
    assert found is not None
    assert found.changes is not None
    two = splits(days.registry, 2)
    assert all(two[key] == split for key, split in one.items())
    assert all(split == "test" for key, split in two.items() if "copy-" in key)
    assert found.changes.left_out.get("looks like a test image", 0) > 3


@pytest.mark.thorough
def test_a_group_is_in_one_split_also_when_other_fractions_are_asked_for(make_days: MakeDays) -> None:
    days = make_days()
    days.experiment = override(
        days.experiment, {"data.uri": f"{days.photos}/photos.csv", "data.columns": {"site": "group"}}
    )
    _list_sites(days.photos)
    days.tick()
    days.add(8)
    _list_sites(days.photos)
    found = days.where(data__test_fraction=0.7).tick().tick
    assert found is not None and found.version == 2
    one, two = (splits(days.registry, number) for number in (1, 2))
    assert all(two[key] == split for key, split in one.items()) and len(two) == len(one) + 24
    assert all(len({split for key, split in two.items() if _site(key) == site}) == 1 for site in range(9))


def _list_sites(photos: Path) -> None:
    """List the photos in a table, with a site that follows from the name."""
    keys = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))
    rows = [f"{key},{key.split('/')[0]},s{_site(key)}" for key in keys]
    (photos / "photos.csv").write_text("\n".join(["path,label,site", *rows]) + "\n")


def _site(key: str) -> int:
    return int(key[-7:-4]) % 9


def splits(registry: Registry, number: int) -> dict[str, str]:
    record = registry.record(number)
    lines = registry.store.get_bytes(f"files/{record.token}/samples.jsonl").decode().splitlines()
    return {row["key"]: row["split"] for row in map(json.loads, lines)}


def dies_before(
    write: Callable[..., None],
    left: list[str],
    why: type[BaseException],
    store: Any,
    tick: Tick,
    where: str = ticks.TICKS,
) -> None:
    """Write, but raise once at the stage that is `left`."""
    if [tick.stage] == left and tick.interruptions == 0:
        left.clear()
        raise why("here")
    write(store, tick, where)


@pytest.mark.thorough
@pytest.mark.parametrize("there", ["local", S3, SWIFT])
def test_a_tick_that_is_killed_at_any_stage_is_resumed_to_the_same_end(
    there: str, make_days: MakeDays, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Each stage is killed on one kind of store and meets an error on the other."""
    monkeypatch.setattr(creation, "MAX_PUT_DELAY_S", 0.1)  # nobody else is there
    days = make_days(None if there == "local" else f"s3://{request.getfixturevalue(there)}/models")
    days.tick()
    outcomes, write = ["promote"], context.write_tick
    ways = [KeyboardInterrupt, Unavailable] if there == "local" else [Unavailable, KeyboardInterrupt]
    for version, (stage, why) in enumerate(zip(STAGES, cycle(ways)), start=2):
        days.add(7)
        champion, left = days.registry.state().champion, [stage]

        monkeypatch.setattr(context, "write_tick", partial(dies_before, write, left, why))
        with pytest.raises(TickFailed if why is Unavailable else KeyboardInterrupt, match="here"):
            days.tick()
        assert days.registry.state().champion == champion or stage == "done"
        found = days.tick().tick
        assert found is not None
        assert (found.over, found.version) == (True, version), stage
        outcomes.append(found.outcome)
        assert days.registry.numbers() == list(range(1, version + 1)), stage
        assert len(days.registry.history()) == outcomes.count("promote"), stage
        assert [t.outcome for t in all_ticks(days.registry.store) if t.version] == outcomes, stage
        assert days.tick().tick is not None
        assert days.registry.numbers() == list(range(1, version + 1)), stage


@pytest.mark.thorough
def test_a_tick_that_is_interrupted_too_often_fails(make_days: MakeDays, monkeypatch: pytest.MonkeyPatch) -> None:
    days = make_days()

    def dies(*_: Any, **__: Any) -> None:
        raise Unavailable("the bucket is away")

    monkeypatch.setattr(steps, "train", dies)
    for _ in range(6):
        with pytest.raises(TickFailed, match="the next tick resumes this one"):
            days.tick()
    with pytest.raises(TickFailed, match="was interrupted 6 times; giving up"):
        days.tick()
    assert getattr(last_tick(days.registry.store), "stage", "") == "failed"


@pytest.mark.thorough
def test_images_that_come_while_a_tick_is_interrupted_wait_and_images_that_go_end_it(
    make_days: MakeDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = make_days()
    real, broken = steps.train, [True, True]

    def dies_twice(*args: Any, **values: Any) -> Any:
        if broken:
            broken.pop()
            raise KeyboardInterrupt
        return real(*args, **values)

    monkeypatch.setattr(steps, "train", dies_twice)
    with pytest.raises(KeyboardInterrupt):
        days.tick()
    days.add(10)
    with pytest.raises(KeyboardInterrupt):
        days.tick()
    found = days.tick().tick
    assert found is not None
    assert sum(found.changes.images.values() if found.changes else ()) == 72
    broken.append(True)
    with pytest.raises(KeyboardInterrupt):
        days.tick()
    next((days.photos / "red").glob("*.jpg")).unlink()
    with pytest.raises(TickFailed, match="1 removed"):
        days.tick()
    assert days.tick().tick is not None
    assert days.registry.numbers() == [1, 2]


@pytest.mark.thorough
def test_a_challenger_is_compared_again_with_a_champion_that_was_moved_by_hand_meanwhile(
    make_days: MakeDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = make_days()
    days.tick()
    days.add(10)
    real = steps.judge

    def by_hand(comparison: Any, gate: Any) -> Any:
        if comparison.champion == 2:
            return real(comparison, gate)
        record = days.registry.record(1)
        folder = Path(days.experiment.storage.uri)
        days.registry.publish(next(folder.iterdir()), record.about)
        days.registry.promote(2, days.registry.state(), "somebody", "by hand")
        return Promote(("better",)) if real(comparison, gate) else None

    monkeypatch.setattr(steps, "judge", by_hand)
    tick = days.tick().tick
    assert tick is not None and tick.comparison is not None
    assert (tick.over, tick.version, tick.comparison.champion, tick.looks) == (True, 3, 2, 3)
    assert days.registry.numbers() == [1, 2, 3]
    assert days.registry.state().champion == (3 if tick.outcome == "promote" else 2)


@pytest.mark.thorough
def test_gc_keeps_the_versions_that_a_tick_needs(make_days: MakeDays, monkeypatch: pytest.MonkeyPatch) -> None:
    days = make_days()
    days.tick()
    store = days.registry.store
    assert versions_in_use(store) == {1: "has the splits of all images so far"}
    days.add(10)
    monkeypatch.setattr(steps, "train", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        days.tick()
    assert "needed by unfinished tick" in versions_in_use(store)[1]
    assert plan_cleanup(days.registry, 1, versions_in_use(store)).removed == ()
    with pytest.raises(RegistryError, match="no previous champion"):
        days.registry.rollback("me", "")


@pytest.mark.thorough
def test_every_tick_that_did_something_and_the_registry_have_a_page(make_days: MakeDays) -> None:
    days = make_days()
    after = after_tick(days.experiment, lambda _: None)
    first = days.tick(after=after).tick
    days.add(10)
    second = days.tick(after=after).tick
    assert first is not None
    assert second is not None
    store = open_store(str(days.experiment.retrain.registry))
    index = store.get_bytes("index.html").decode()
    for tick in (first, second):
        assert f"pages/{tick.id}.html" in index
        assert tick.id in store.get_bytes(f"pages/{tick.id}.html").decode()
    for made in all_ticks(store):
        assert TICK_FORMAT.read(json.dumps(made.to_json()).encode(), "") == made
