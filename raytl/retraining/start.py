"""The first steps of a tick: skip unchanged data, observe the data, decide, and freeze the splits; or resume a tick."""

from __future__ import annotations

import json
from dataclasses import replace

from raytl.errors import DataError, TrainingError
from raytl.events import Message
from raytl.labelling.sheet import TABLE, table
from raytl.registry.reader import folder_of
from raytl.retraining.changes import Changes
from raytl.retraining.compare import SavedModel, check_task
from raytl.retraining.context import TickContext
from raytl.retraining.observe import Observation, listing_digest, observe
from raytl.retraining.policy import Skip, decide
from raytl.retraining.publish import MEMORY
from raytl.retraining.ticks import MAX_DOUBTFUL, Outcome, Tick

SPLIT_FILE = "sides.jsonl"
"""The split of each image in a tick. raytl 0.1.0 wrote it under this name, and its unfinished ticks are resumed."""
_MAX_INTERRUPTIONS = 5


def skip_unchanged(context: TickContext, last: Tick | None) -> tuple[Tick | None, str]:
    """Return the tick of data whose listing is unchanged, if the policy skips it (else None), and the listing's digest."""
    listing = listing_digest(context.experiment, context.alarm)
    if last is None or last.changes is None or not listing or listing != last.listing:
        return None, listing
    tick = context.next_tick(last)
    changes = last.changes
    if changes.since != last.trained:  # a version was trained on it meanwhile
        tick = replace(tick, changes=(changes := Changes(changes.snapshot, last.trained)))
    elif tick.champion != last.champion:
        return None, listing
    decision = decide(context.history(tick), changes, context.now, context.experiment.retrain)
    return (_skipped(context, tick, decision) if isinstance(decision, Skip) else None), listing


def begin(context: TickContext, last: Tick | None) -> Tick:
    """Observe the data, decide, and record the tick, which is over if there is no reason to train."""
    context.tick = context.next_tick(last)  # from here on, a failure is recorded
    tick, observation = observe_and_decide(context, context.tick, listing_digest(context.experiment, context.alarm))
    if isinstance(tick.decision, Skip):
        tick = context.save(_skipped(context, tick, tick.decision))
        if tick.outcome == "attention":
            context.reported = tick
        return tick
    _freeze(context, tick, observation)
    return context.save(tick)


def resume(context: TickContext, tick: Tick) -> Tick:
    """Return the interrupted `tick`, with the interruption counted.

    Raises:
        TrainingError: it was interrupted too often.
    """
    context.on_event(Message(f"Resuming tick {tick.id}, interrupted after {tick.stage!r}"))
    context.is_recorded = True
    tick = context.save(replace(tick, interruptions=tick.interruptions + 1))
    if tick.interruptions > _MAX_INTERRUPTIONS:
        raise TrainingError(f"tick {tick.id} was interrupted {tick.interruptions} times; giving up")
    return tick


def observe_and_decide(context: TickContext, tick: Tick, listing: str) -> tuple[Tick, Observation]:
    """Return the tick with the data's changes and the decision, and the data."""
    trained, champion = context.record(tick.trained), context.record(tick.champion)
    observation = observe(context.experiment, context.registry, trained, champion, context.on_event)
    decision = decide(context.history(tick), observation.changes, context.now, context.experiment.retrain)
    if champion is not None and not isinstance(decision, Skip):  # the comparison would fail, after the training
        model_folder = folder_of(context.registry, champion) / "checkpoints" / "best"
        check_task(
            SavedModel(model_folder, f"models:{context.registry.uri}@{champion.number}"), context.experiment.task
        )
    doubtful = observation.doubtful[:MAX_DOUBTFUL]
    decided = replace(tick, listing=listing, changes=observation.changes, decision=decision, doubtful=doubtful)
    return decided, observation


def _skipped(context: TickContext, tick: Tick, decision: Skip) -> Tick:
    outcome: Outcome = "attention" if decision.attention else "skip"
    return replace(tick, decision=decision, stage="done", outcome=outcome, ended=context.timestamp)


def _freeze(context: TickContext, tick: Tick, observation: Observation) -> None:
    """Write the split of each image in this tick, and the splits and hashes to remember."""
    splits = observation.splits
    if not splits.of("test"):
        raise DataError(
            f"{context.experiment.data.uri}: no test images, so no challenger can be compared; set data.test_fraction above 0 "
            "or add a test split"
        )
    rows = [{"key": sample.key, "split": sample.split} for sample in splits.samples]
    context.put(SPLIT_FILE, tick, "".join(json.dumps(row) + "\n" for row in rows).encode())
    context.put(MEMORY, tick, splits.memory.encoded())
    if observation.doubtful:
        context.put(TABLE, tick, table(observation.doubtful).encode("utf-8", "backslashreplace"))
