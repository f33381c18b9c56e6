"""`raytl check`: what would happen, and every problem of config, data and model, before anything does."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raytl.cli.options import ExperimentFile, Json, Overrides
from raytl.cli.plan_tables import plan_tables
from raytl.cli.progress import watching
from raytl.cli.terminal import Terminal, guarded
from raytl.config.fingerprint import fingerprint
from raytl.config.load import load_experiment
from raytl.sanitize import command

if TYPE_CHECKING:
    from raytl.training.plan import Plan


def check(file: ExperimentFile, set_: Overrides = None, json: Json = False) -> None:
    """Look through an experiment: its file first, then its data and model. Trains nothing.

    Prints the data, what learns at which rate, the preprocessing and the steps; or every problem at once. Of a bucket it
    lists what would be pulled, and looks through the images once they are here; archives and shards it fetches.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        experiment = load_experiment(file, set_ or [])
        with watching(terminal.err) as on_event:
            from raytl.training.driver import plan

            found = plan(experiment, on_event, fetch=False)
        verb = "sync" if found.dataset.to_fetch and not experiment.data.stream else "train"
        settings = (word for text in set_ or [] for word in ("--set", text))
        terminal.show(*plan_tables(found, command("raytl", verb, file, *settings)))
        terminal.result(plan_json(found))


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON's own types."""
    return {
        "name": plan.experiment.name,
        "fingerprint": fingerprint(plan.experiment),
        "snapshot": plan.dataset.snapshot or None,
        "to_fetch": {uri: info.size for uri, info in plan.dataset.to_fetch.items()},
        "images": {split: sum(by_class.values()) for split, by_class in plan.counts.items()},
        "counts": {split: by_class for split, by_class in plan.counts.items() if split != "test"},
        "skipped": [asdict(bad) for bad in plan.dataset.skipped],
        "warnings": plan.warnings,
        "notes": plan.notes,
        "stages": [asdict(stage) for stage in plan.stages],
        "timeline": [asdict(stage) for stage in plan.timeline],
        "trainable": plan.trainable,
        "total": plan.total,
        "preprocess": asdict(plan.preprocess),
        "bit_depth": asdict(plan.dataset.depth),
        "weights": plan.weights_digest,
        "steps_per_epoch": plan.steps_per_epoch,
        "steps": plan.steps,
        "device": plan.device,
        "precision": plan.precision,
        "experiment": plan.experiment.model_dump(mode="json"),
    }
