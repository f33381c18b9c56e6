"""When a tick trains, searches or waits, one row per rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raytl.config.retrain import RetrainConfig
from raytl.feedback.monitor import Alarm
from raytl.metrics.drift import Drift
from raytl.retraining.changes import Changes
from raytl.retraining.policy import Decision, Search, Skip, Train, TrainingHistory, decide

NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
POLICY = RetrainConfig.model_validate(
    {
        "when": {"new_samples": 200, "or_drift": 0.1, "or_every": "30 d", "at_most_every": "1 d"},
        "how": {"search_again": {"every": 10, "trials": 16}},
    }
)


def history(days: float = 3, champion: int | None = 4, since_search: int = 2) -> TrainingHistory:
    return TrainingHistory(champion, NOW - timedelta(days=days), since_search)


def changed(**values: Any) -> Changes:
    return Changes(snapshot="s", since=4, **values)


def drifted(amount: float, p: float) -> Drift:
    return Drift(100, amount, (1 + amount) / 2, p, 0.01, p)


ROWS: list[tuple[str, TrainingHistory, Changes, type[Decision], str]] = [
    ("nothing yet", TrainingHistory(), changed(), Train, "no version yet"),
    ("nothing new", history(), changed(), Skip, "unchanged since the last training"),
    ("nothing new, and long ago", history(days=400), changed(), Skip, "unchanged since the last training"),
    ("too few", history(), changed(added={"a": 120}), Skip, "120 new or relabelled images (threshold 200)"),
    ("enough", history(), changed(added={"a": 120, "b": 80}), Train, "200 new or relabelled images (threshold 200)"),
    ("relabelled count", history(), changed(added={"a": 150}, relabelled={"a -> b": 50}), Train, "200 new or relabelled"),
    ("removed only", history(), changed(removed={"a": 500}), Skip, "0 new or relabelled images (threshold 200), 500 removed"),
    ("too soon", history(days=0.25), changed(added={"a": 300}), Skip, "but the last training was 6 h ago (at_most_every 1 d)"),
    ("just late enough", history(days=1), changed(added={"a": 300}), Train, "300 new"),
    ("a day, less a moment", history(days=1 - 7 / 86400), changed(added={"a": 300}), Train, "300 new"),
    ("a day, when the clocks change", history(days=23 / 24), changed(added={"a": 300}), Train, "300 new"),
    ("an hour and more too soon", history(days=22.9 / 24), changed(added={"a": 300}), Skip, "22.9 h ago (at_most_every 1 d)"),
    ("due, less a moment", history(days=30 - 7 / 86400), changed(added={"a": 1}), Train, "the last training was 30 d ago (or_every 30 d)"),
    ("a new class", history(), changed(added={"z": 20}, new_classes={"z": 20}), Train, "20 images of the new class 'z' (threshold 20)"),
    ("a small new class", history(), changed(added={"z": 19}, new_classes={"z": 19}), Skip, "19 new"),
    ("a new class that a rejected challenger knew", history(), changed(added={"a": 5}, new_classes={"z": 90}), Skip, "5 new"),
    ("drift of what was trained on", history(), changed(added={"a": 5}, drift=drifted(0.3, 0.002)), Skip, "5 new"),
    ("drift", history(), changed(added={"a": 40}, drift=drifted(0.3, 0.002)), Train, "drift 0.30 of the new images (AUC 0.65, p 0.002, threshold 0.1)"),
    ("drift by chance", history(), changed(added={"a": 40}, drift=drifted(0.3, 0.2)), Skip, "drift 0.30 (p 0.20, threshold 0.1)"),
    ("a little drift", history(), changed(added={"a": 40}, drift=drifted(0.05, 0.01)), Skip, "drift 0.05"),
    ("due", history(days=30), changed(added={"a": 1}), Train, "the last training was 30 d ago (or_every 30 d)"),
    ("a class was removed", history(), changed(added={"a": 500}, removed_classes=("b",)), Skip, "no training images of 'b'"),
    ("a search is due", history(since_search=9), changed(added={"a": 500}), Search, "9 trainings since the last search"),
    ("no search yet", history(since_search=8), changed(added={"a": 500}), Train, "500 new"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "state", "changes", "kind", "reason"), ROWS, ids=[row[0] for row in ROWS])
def test_the_rules(what: str, state: TrainingHistory, changes: Changes, kind: type[Decision], reason: str) -> None:
    found = decide(state, changes, NOW, POLICY)
    assert type(found) is kind
    assert reason in "; ".join(found.reasons)


@pytest.mark.parametrize(
    ("every_h", "after_h", "trains"), [(6, 5.9, True), (6, 5.8, False), (1, 0.96, True), (1, 0.94, False)]
)
def test_a_short_period_is_over_at_most_ten_minutes_or_5_percent_early(
    every_h: float, after_h: float, trains: bool
) -> None:
    hourly = POLICY.model_copy(update={"when": POLICY.when.model_copy(update={"at_most_every": every_h * 3600})})
    decision = decide(history(days=after_h / 24), changed(added={"a": 300}), NOW, hourly)
    assert isinstance(decision, Train) is trains


def test_a_removed_class_asks_for_attention_unless_it_may_go() -> None:
    gone = changed(added={"a": 500}, removed_classes=("b",))
    found = decide(history(), gone, NOW, POLICY)
    assert isinstance(found, Skip)
    assert found.attention
    drop = POLICY.model_copy(update={"how": POLICY.how.model_copy(update={"removed_classes": "drop"})})
    assert isinstance(decide(history(), gone, NOW, drop), Train)


def test_training_starts_from_the_champion_or_from_the_start() -> None:
    more = changed(added={"a": 500})
    assert decide(history(), more, NOW, POLICY) == Train(("500 new or relabelled images (threshold 200)",), 4)
    anew = POLICY.model_copy(update={"how": POLICY.how.model_copy(update={"start_from": "model"})})
    assert decide(history(), more, NOW, anew) == Train(("500 new or relabelled images (threshold 200)",), None)
    assert decide(history(champion=None), more, NOW, POLICY).start is None  # type: ignore[union-attr]


def test_a_last_training_in_the_future_does_not_block_training_until_then() -> None:
    late = replace(history(days=-1500), is_misdated=True)
    assert isinstance(decide(late, changed(added={"a": 300}), NOW, POLICY), Train)
    due = decide(late, changed(added={"a": 1}), NOW, POLICY)
    assert isinstance(due, Train)
    assert due.reasons == ("the last training has the time 2030-12-30 06:00, which is still to come (or_every 30 d)",)
    alarm = Alarm("1", NOW, 40.0, 20.0, 120, ("sharpness",))
    assert replace(late, alarm=alarm).new_alarm == alarm and replace(history(days=-1), alarm=alarm).new_alarm is None


def test_a_clock_that_is_a_little_behind_is_not_long_ago() -> None:
    skip = decide(history(days=-0.01), changed(added={"a": 300}), NOW, POLICY)
    assert skip.reasons == (
        "300 new or relabelled images (threshold 200); but the last training was 0 s ago (at_most_every 1 d)",
    )


def test_a_search_has_its_trials() -> None:
    found = decide(history(since_search=9), changed(added={"a": 500}), NOW, POLICY)
    assert isinstance(found, Search)
    assert (found.start, found.trials) == (4, 16)
