"""When a tick trains, searches or waits: one row a rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raytl.config.retrain import RetrainConfig
from raytl.metrics.drift import Drift
from raytl.retrain.changes import Changes
from raytl.retrain.policy import Decision, Known, Search, Skip, Train, decide

NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
POLICY = RetrainConfig.model_validate(
    {
        "when": {"new_samples": 200, "or_drift": 0.1, "or_every": "30 d", "at_most_every": "1 d"},
        "how": {"search_again": {"every": 10, "trials": 16}},
    }
)


def known(days: float = 3, champion: int | None = 4, since_search: int = 2) -> Known:
    return Known(champion, NOW - timedelta(days=days), since_search)


def changed(**values: Any) -> Changes:
    return Changes(snapshot="s", since=4, **values)


def drifted(amount: float, p: float) -> Drift:
    return Drift(100, amount, (1 + amount) / 2, p, 0.01, p)


ROWS: list[tuple[str, Known, Changes, type[Decision], str]] = [
    ("nothing yet", Known(), changed(), Train, "there is no version yet"),
    ("nothing new", known(), changed(), Skip, "nothing changed since the last training"),
    ("nothing new, and long ago", known(days=400), changed(), Skip, "nothing changed since the last training"),
    ("too few", known(), changed(added={"a": 120}), Skip, "120 new or relabelled images of the 200 that are enough"),
    ("enough", known(), changed(added={"a": 120, "b": 80}), Train, "200 new or relabelled images, 200 are enough"),
    ("relabelled count", known(), changed(added={"a": 150}, relabelled={"a -> b": 50}), Train, "200 new or relabelled"),
    ("removed only", known(), changed(removed={"a": 500}), Skip, "0 new or relabelled images of the 200 that are enough, 500 removed"),
    ("too soon", known(days=0.25), changed(added={"a": 300}), Skip, "but the last training was 6 h ago, and there is at most one in 1 d"),
    ("just late enough", known(days=1), changed(added={"a": 300}), Train, "300 new"),
    ("a new class", known(), changed(added={"z": 20}, new_classes={"z": 20}), Train, "20 images of the new class 'z', 20 are enough"),
    ("a small new class", known(), changed(added={"z": 19}, new_classes={"z": 19}), Skip, "19 new"),
    ("a new class that a rejected challenger knew", known(), changed(added={"a": 5}, new_classes={"z": 90}), Skip, "5 new"),
    ("drift of what was trained on", known(), changed(added={"a": 5}, drift=drifted(0.3, 0.002)), Skip, "5 new"),
    ("drift", known(), changed(added={"a": 40}, drift=drifted(0.3, 0.002)), Train, "drifted by 0.30 (AUC 0.65, p 0.002), 0.1 is enough"),
    ("drift by chance", known(), changed(added={"a": 40}, drift=drifted(0.3, 0.2)), Skip, "drift 0.30 (p 0.20) of 0.1"),
    ("a little drift", known(), changed(added={"a": 40}, drift=drifted(0.05, 0.01)), Skip, "drift 0.05"),
    ("due", known(days=30), changed(added={"a": 1}), Train, "the last training was 30 d ago, and 30 d is the longest"),
    ("vanished", known(), changed(added={"a": 500}, removed_classes=("b",)), Skip, "no training images are left of 'b'"),
    ("a search is due", known(since_search=9), changed(added={"a": 500}), Search, "9 trainings since the last search"),
    ("no search yet", known(since_search=8), changed(added={"a": 500}), Train, "500 new"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "state", "changes", "kind", "told"), ROWS, ids=[row[0] for row in ROWS])
def test_the_rules(what: str, state: Known, changes: Changes, kind: type[Decision], told: str) -> None:
    found = decide(state, changes, NOW, POLICY)
    assert type(found) is kind
    assert told in "; ".join(found.reasons)


def test_a_vanished_class_asks_for_attention_unless_it_may_go() -> None:
    gone = changed(added={"a": 500}, removed_classes=("b",))
    found = decide(known(), gone, NOW, POLICY)
    assert isinstance(found, Skip)
    assert found.attention
    drop = POLICY.model_copy(update={"how": POLICY.how.model_copy(update={"removed_classes": "drop"})})
    assert isinstance(decide(known(), gone, NOW, drop), Train)


def test_training_starts_from_the_champion_or_from_the_start() -> None:
    more = changed(added={"a": 500})
    assert decide(known(), more, NOW, POLICY) == Train(("500 new or relabelled images, 200 are enough",), 4)
    anew = POLICY.model_copy(update={"how": POLICY.how.model_copy(update={"start_from": "model"})})
    assert decide(known(), more, NOW, anew) == Train(("500 new or relabelled images, 200 are enough",), None)
    assert decide(known(champion=None), more, NOW, POLICY).start is None  # type: ignore[union-attr]


def test_a_search_has_its_trials() -> None:
    found = decide(known(since_search=9), changed(added={"a": 500}), NOW, POLICY)
    assert isinstance(found, Search)
    assert (found.start, found.trials) == (4, 16)
