"""`retrain`: one idempotent tick, step by step. Each step is recorded in the registry, so the next tick resumes one that was
killed; only the last step moves the champion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from raytl.config.override import override
from raytl.config.places import registry_uri
from raytl.config.schema import Experiment
from raytl.errors import RaytlError, RunError, TrainingError, Unavailable, WorkersLost, first_line
from raytl.events import OnEvent, ignore
from raytl.registry.registry import Registry
from raytl.retraining.context import AfterTick, TickContext
from raytl.retraining.gate import gate_metric
from raytl.retraining.start import begin, observe_and_decide, resume, skip_unchanged
from raytl.retraining.steps import STEPS
from raytl.retraining.ticks import SKIPS, Tick, new_tick, write_tick
from raytl.run.provenance import user
from raytl.store.lease import held
from raytl.store.s3_settings import S3Settings
from raytl.tasks.defaults import completed
from raytl.tasks.detect import with_task
from raytl.tasks.registry import task_named

_TRANSIENT = (Unavailable, WorkersLost)
"""Errors that may be gone by the next tick, which resumes this one."""


class TickFailed(TrainingError):
    """A tick failed; the champion is unchanged."""


@dataclass(frozen=True)
class Retraining:
    """The result of a call: its `tick`, or, if another one holds the lease, its holder (`held`).

    `next_step` is the step that a dry run would take.
    """

    tick: Tick | None
    champion: int | None
    registry: str
    held: str = ""
    next_step: str = ""


def retrain(
    experiment: Experiment,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
    on_event: OnEvent = ignore,
    after: AfterTick | None = None,
) -> Retraining:
    """Run one tick: observe, decide, train if there is reason, compare, promote or keep. With `dry_run`, stop after deciding.

    `after` is called with each tick that ends other than by skipping, and with an unfinished tick that an error stopped, whose
    record may be out of date.

    Raises:
        ConfigError: `retrain.registry` is not set, or the task has no metric `retrain.gate.metric`.
        TickFailed: the tick failed, or a transient error interrupted it; the champion is unchanged.
    """
    uri = registry_uri(experiment)
    registry = Registry.open(uri, on_event, S3Settings.of(experiment.storage))
    context = TickContext(experiment, registry, now or datetime.now(UTC), on_event)
    try:
        context.experiment = _prepared(experiment, on_event)  # this may list the data
        return _preview(context) if dry_run else _run(context, after)
    except TickFailed:  # recorded and reported
        raise
    except RaytlError as error:
        if not dry_run:
            _report_interruption(context, error, after)
        if not isinstance(error, _TRANSIENT):
            raise
        later = (
            "the next tick resumes this one"
            if context.is_recorded
            else "nothing was recorded, and the next one tries again"
        )
        raise TickFailed(f"{error}\n  {context.champion_status}; {later}.") from error


def _prepared(experiment: Experiment, on_event: OnEvent) -> Experiment:
    """Return the experiment with its task and the defaults of it, and the labelled images of `retrain.feedback` in its data.

    Raises:
        ConfigError: the task has no metric `retrain.gate.metric`, or options that it cannot apply.
    """
    experiment = completed(with_task(experiment, on_event))
    gate_metric(task_named(experiment.task).reporting, experiment.retrain.gate)  # not only after the training
    feedback = experiment.retrain.feedback
    return experiment if feedback is None else override(experiment, {"data.feedback": feedback})


def _preview(context: TickContext) -> Retraining:
    """Observe and decide, and write nothing."""
    last = context.last_tick()
    if last is not None and not last.over:
        return _result(context, last, next_step=f"resume tick {last.id} after {last.stage!r}")
    skipped, listing = skip_unchanged(context, last)
    if skipped is not None:
        return _result(context, skipped, next_step="skip")
    tick, _ = observe_and_decide(context, context.next_tick(last), listing)
    return _result(context, tick, next_step=type(tick.decision).__name__.lower())


def _run(context: TickContext, after: AfterTick | None) -> Retraining:
    """Skip unchanged data without the lease; else take the lease and run the steps."""
    last = context.last_tick()
    if last is None or last.over:
        skipped, _ = skip_unchanged(context, last)
        if skipped is not None:
            write_tick(context.registry.store, skipped, SKIPS)
            return _result(context, skipped)
    with ExitStack() as stack:
        stack.callback(_report, context, after)  # after the lease is released: a slow webhook blocks no other tick
        try:
            context.lease = stack.enter_context(
                held(context.registry.store, context.on_event, context.highest_generation)
            )
        except RunError as error:
            return Retraining(None, context.registry.state().champion, context.registry.uri, held=first_line(error))
        context.registry.generation = context.lease.holder.generation
        with _failures_recorded(context):
            return _result(context, _run_steps(context))


def _run_steps(context: TickContext) -> Tick:
    last = context.last_tick()
    tick = resume(context, last) if last is not None and not last.over else begin(context, last)
    while not tick.over:
        tick = STEPS[tick.stage](context, tick)
    return replace(tick, champion=tick.version) if tick.outcome == "promote" else tick


@contextmanager
def _failures_recorded(context: TickContext) -> Iterator[None]:
    """Record and report an error that is not transient as the end of the tick, as far as that is possible."""
    try:
        yield
    except _TRANSIENT:
        raise
    except Exception as error:
        if context.tick is None:  # no tick had begun
            raise
        tick = replace(
            context.tick,
            stage="failed",
            outcome="failure",
            ended=context.timestamp,
            error=first_line(error),
            listing="",
            generation=context.registry.generation,
        )
        with suppress(RaytlError):
            context.save(tick)
        context.reported = tick
        if not isinstance(error, RaytlError):  # a bug: the caller shows its traceback
            raise
        raise TickFailed(f"{error}\n  {context.champion_status} (tick {tick.id}).") from error


def _report_interruption(context: TickContext, error: RaytlError, after: AfterTick | None) -> None:
    """Report an error that stopped this call before the tick was over; a tick that was not recorded has no decision."""
    tick = context.tick or new_tick(context.now, user(), None)
    if not context.is_recorded:
        tick = replace(tick, decision=None)
    stage = "published" if tick.over else tick.stage  # its end could not be written
    context.reported = replace(tick, stage=stage, outcome="failure", error=first_line(error))
    _report(context, after)


def _report(context: TickContext, after: AfterTick | None) -> None:
    tick, context.reported = context.reported, None
    if after is not None and tick is not None:
        after(context.registry, tick)


def _result(context: TickContext, tick: Tick, next_step: str = "") -> Retraining:
    return Retraining(tick, tick.champion, context.registry.uri, next_step=next_step)
