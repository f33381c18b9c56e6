from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from raytl.events import ignore
from raytl.exporting.compress.run_source import RunSource
from raytl.exporting.trained_run import TrainedRun


def key(weights: str = "w", temperature: float | None = 1.5, snapshot: str = "s") -> str:
    card = SimpleNamespace(digest=weights, temperature=temperature)
    run = SimpleNamespace(card=card, saved=SimpleNamespace(card=card), snapshot=snapshot)
    return RunSource(cast(TrainedRun, run), 0.5, ignore).key


def test_candidates_of_the_same_weights_with_another_temperature_are_not_used_again() -> None:
    assert key() == key()
    assert len({key(), key("other"), key(temperature=None), key(temperature=1.6), key(snapshot="other")}) == 5
