"""The last step of a tick, on registries whose aliases somebody moves meanwhile; nothing is trained."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raytl.config.schema import Experiment
from raytl.events import Recorder, ignore, once
from raytl.registry.registry import Registry
from raytl.retraining.changes import Changes
from raytl.retraining.context import TickContext
from raytl.retraining.gate import Comparison, Promote
from raytl.retraining.policy import Train
from raytl.retraining.steps import apply_verdict, publish_challenger
from raytl.retraining.ticks import Tick, new_tick
from tests.registry.conftest import about

NOW = datetime(2026, 11, 28, 6, tzinfo=UTC)
COMPARISON = Comparison(
    evaluation="e", images=400, looks=3, champion=2, challenger=3, same_weights=False, metrics={}, champion_metrics={},
    paired=None, slices=(), latency_ms=10.0, champion_latency_ms=10.0, size_bytes=9_000_000,
)  # fmt: skip


@pytest.fixture
def context(tmp_path: Path) -> TickContext:
    """A registry with the versions 1 to 3, of which 2 is the champion and 1 the previous one."""
    registry = Registry.open(str(tmp_path / "models"))
    (tmp_path / "run").mkdir()
    for _ in range(3):
        registry.publish(tmp_path / "run", about())
    for number in (1, 2):
        registry.promote(number, registry.state(), "me", "better")
    values = {"name": "toy", "data": {"uri": str(tmp_path)}, "model": {"name": "resnet18"}}
    return TickContext(Experiment.model_validate(values), registry, NOW, ignore)


def published() -> Tick:
    """Return a tick whose challenger, version 3, was published and is better than version 2."""
    return replace(
        new_tick(NOW, "me", None), stage="published", champion=2, trained=3, version=3, looks=3, comparison=COMPARISON,
        verdict=Promote(("better",)), decision=Train(("new images",), 2), changes=Changes("s", 2, {"train": 3}),
    )  # fmt: skip


def test_a_rollback_is_not_undone_by_the_tick_that_had_promoted_the_version(context: TickContext) -> None:
    registry, tick = context.registry, published()
    registry.promote(3, registry.state(), "the tick", "better", tick.started)
    registry.rollback("somebody", "misses wet cardboard")
    ended = apply_verdict(context, tick)
    assert (ended.stage, ended.outcome, ended.champion, registry.state().champion) == ("done", "reject", 2, 2)
    assert ended.reasons == (
        "version 3 was promoted, and somebody moved the champion to 2 since: misses wet cardboard",
    )
    assert len(registry.history()) == 4 and context.reported == ended


def test_a_version_that_is_the_champion_already_is_not_moved_again(context: TickContext) -> None:
    registry, tick = context.registry, published()
    registry.promote(3, registry.state(), "the tick", "better", tick.started)
    ended = apply_verdict(context, tick)
    assert (ended.outcome, registry.state().champion, len(registry.history())) == ("promote", 3, 3)


def test_a_challenger_of_another_champion_is_compared_again_and_not_published_twice(context: TickContext) -> None:
    registry, seen = context.registry, Recorder()
    context.on_event = seen
    registry.promote(1, registry.state(), "somebody", "by hand")
    again = apply_verdict(context, published())
    assert (again.stage, again.over, again.champion, registry.state().champion) == ("trained", False, 1, 1)
    assert "The champion is now version 1, not 2; comparing version 3 with it" in str(seen.events[-1])
    compared = replace(again, stage="compared", comparison=replace(COMPARISON, looks=4, challenger=0), looks=4)
    tick = publish_challenger(context, compared)
    assert tick.comparison is not None and tick.comparison.challenger == 3
    assert (tick.stage, tick.version, tick.trained, registry.numbers()) == ("published", 3, 3, [1, 2, 3])
    assert apply_verdict(context, tick).outcome == "promote"
    assert registry.state().aliases == {"champion": 3, "previous": 1}


def test_a_last_training_of_a_clock_in_the_future_is_warned_about_once(context: TickContext) -> None:
    seen = Recorder()
    context.warn_once = once(seen)
    misdated = replace(published(), trained_at="2030-01-01T00:00:00+00:00")
    assert [context.history(misdated).is_misdated for _ in range(2)] == [True, True]
    assert len(seen.events) == 1 and "version 3 was trained at 2030-01-01T00:00:00+00:00, but it is 2026" in str(
        seen.events[0]
    )
    assert not context.history(replace(published(), trained_at="2026-11-28T18:00:00+00:00")).is_misdated


def test_a_better_version_becomes_the_champion(context: TickContext) -> None:
    assert apply_verdict(context, published()).outcome == "promote"
    assert context.registry.state().aliases == {"champion": 3, "previous": 2}
