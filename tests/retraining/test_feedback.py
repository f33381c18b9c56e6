"""Labelled feedback joins training through a real tick, and nothing else."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raytl.config.retrain import RetrainConfig, WhenConfig
from raytl.data.samples import SAMPLE_FORMAT
from raytl.errors import ConfigError
from raytl.feedback.monitor import Alarm
from raytl.registry.reader import folder_of
from raytl.retraining.changes import Changes
from raytl.retraining.policy import Skip, Train, TrainingHistory, decide
from raytl.run import journal
from raytl.store.local import LocalStore
from tests.feedback.made import photo, put_labels, put_photo
from tests.retraining.conftest import START, Days, MakeDays

AT = datetime(2026, 11, 3, tzinfo=UTC)
ALARM = Alarm("1", AT, 40.0, 20.0, 120, ("sharpness",))


def with_feedback(days: Days, tmp_path: Path) -> tuple[Days, LocalStore]:
    store = LocalStore(tmp_path / "feedback")
    return days.where(retrain__feedback=str(store.root), retrain__when__new_samples=4), store


def trained(days: Days, number: int) -> dict[str, str]:
    """The split of each image of a version, by key."""
    folder = folder_of(days.registry, days.registry.record(number))
    return {each.key: each.split or "" for each in journal.read(folder / "samples.jsonl", SAMPLE_FORMAT)}


def test_labelled_feedback_trains_a_challenger_and_joins_training_only(make_days: MakeDays, tmp_path: Path) -> None:
    days, store = with_feedback(make_days(), tmp_path)
    first = days.tick()
    assert first.tick is not None and first.tick.outcome == "promote"
    before = trained(days, 1)
    test_key = next(key for key, split in before.items() if split == "test")
    val_key = next(key for key, split in before.items() if split == "val")
    digests = {put_photo(store, photo(n, (200, 20, 20))): "red" for n in range(6)}
    copies = {put_photo(store, (days.photos / key).read_bytes(), "jpg"): "red" for key in (test_key, val_key)}
    put_labels(store, {**digests, **copies})

    second = days.tick()

    assert second.tick is not None and second.tick.version == 2
    assert second.tick.changes is not None and second.tick.changes.new_samples == 6
    assert second.tick.reasons and "6 new or relabelled images" in second.tick.decision.reasons[0]  # type: ignore[union-attr]
    after = trained(days, 2)
    own = {key: split for key, split in after.items() if key.startswith("feedback/")}
    assert own == {f"feedback/{digest}.png": "train" for digest in digests}
    assert {key: split for key, split in after.items() if key not in own} == before
    assert second.tick.comparison is not None and not second.tick.comparison.leaked


def test_unchanged_labels_are_skipped_by_the_listing_and_new_ones_are_not(make_days: MakeDays, tmp_path: Path) -> None:
    days, store = with_feedback(make_days(), tmp_path)
    put_labels(store, {put_photo(store, photo(n, (20, 20, 200))): "blue" for n in range(2)})
    assert days.tick().tick.version == 1  # type: ignore[union-attr]
    assert trained(days, 1)
    again = days.tick(dry_run=True)
    assert again.next_step == "skip" and again.tick is not None
    put_labels(store, {put_photo(store, photo(n, (20, 20, 200))): "blue" for n in range(10, 15)}, token="1" * 8)
    assert days.tick(dry_run=True).next_step == "train"


@pytest.mark.thorough
def test_a_relabelled_feedback_image_is_a_change(make_days: MakeDays, tmp_path: Path) -> None:
    days, store = with_feedback(make_days(), tmp_path)
    digests = [put_photo(store, photo(n, (20, 20, 200))) for n in range(5)]
    put_labels(store, dict.fromkeys(digests, "blue"))
    days.tick()
    put_labels(store, dict.fromkeys(digests, "green"), START, "f" * 8)
    put_labels(store, dict.fromkeys(digests, "red"), token="f" * 8)  # later than the first
    changes = days.tick(dry_run=True).tick.changes  # type: ignore[union-attr]
    assert changes is not None and changes.relabelled_count == 5
    assert "blue -> red" in changes.relabelled


@pytest.mark.thorough
def test_a_prefix_without_labels_changes_nothing(make_days: MakeDays, tmp_path: Path) -> None:
    days, store = with_feedback(make_days(), tmp_path)
    put_photo(store, photo(1))
    days.tick()
    assert not any(key.startswith("feedback/") for key in trained(days, 1))


def test_two_prefixes_are_a_conflict(make_days: MakeDays) -> None:
    with pytest.raises(ConfigError, match=r"retrain\.feedback.*data\.feedback"):
        make_days().where(retrain__feedback="one", data__feedback="other")


def test_or_alarm_without_feedback_is_a_conflict(make_days: MakeDays) -> None:
    with pytest.raises(ConfigError, match=r"or_alarm.*no monitor"):
        make_days().where(retrain__when__or_alarm=True)


def policy() -> RetrainConfig:
    return RetrainConfig(feedback="x", when=WhenConfig(new_samples=100, or_alarm=True))


def test_an_alarm_since_the_last_training_trains_if_anything_changed() -> None:
    history = TrainingHistory(1, datetime(2026, 11, 1, tzinfo=UTC), alarm=ALARM)
    decision = decide(history, Changes("x", 1, added={"a": 3}), AT, policy())
    assert isinstance(decision, Train)
    assert "alarm since 2026-11-03 00:00 after 120 images (evidence 40, needed 20; sharpness)" in decision.reasons[0]


def test_an_alarm_without_new_images_asks_for_labels() -> None:
    history = TrainingHistory(1, datetime(2026, 11, 1, tzinfo=UTC), alarm=ALARM)
    decision = decide(history, Changes("x", 1), AT, policy())
    assert isinstance(decision, Skip) and decision.attention
    assert "raytl collect" in decision.reasons[0]


@pytest.mark.parametrize("last", [AT, datetime(2026, 11, 4, tzinfo=UTC)])
def test_an_alarm_before_the_last_training_is_settled(last: datetime) -> None:
    history = TrainingHistory(1, last, alarm=ALARM)
    assert isinstance(decide(history, Changes("x", 1, added={"a": 3}), AT, policy()), Skip)


@pytest.mark.thorough
def test_the_challenger_can_be_trained_where_the_photos_were_removed_from_this_machine(
    make_days: MakeDays, tmp_path: Path
) -> None:
    """A run names its feedback prefix, and its samples are found there again."""
    from raytl.evaluation.record import recorded, verified
    from raytl.run.run_store import RunStore

    days, store = with_feedback(make_days(), tmp_path)
    put_labels(store, {put_photo(store, photo(n, (200, 20, 20))): "red" for n in range(3)})
    done = days.tick()
    run = RunStore.open(done.tick.run)  # type: ignore[union-attr]
    samples = recorded(run.folder, "train")
    moved = tmp_path / "elsewhere"
    shutil.move(store.root, moved)
    present = verified(samples, days.experiment.data.uri, feedback=str(moved), on_event=lambda _: None)
    assert sum(str(moved) in each.path for each in present) == 3
