"""`raytl check`: the plan of a run, or every problem of its config, data and model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raytl.cli.object_table import object_table
from raytl.cli.options import Json, Model, Overrides, Source
from raytl.cli.plan_tables import plan_tables
from raytl.cli.progress import watching
from raytl.cli.sources import as_words, named_experiment
from raytl.cli.terminal import Terminal, guarded
from raytl.config.fingerprint import fingerprint
from raytl.config.machine import storage_options
from raytl.gc_pause import importing
from raytl.sanitize import command
from raytl.starter import is_experiment_file

if TYPE_CHECKING:
    from raytl.data.object_counts import ObjectCounts
    from raytl.training.plan import Plan


def check(source: Source, model: Model = None, set_: Overrides = None, json: Json = False) -> None:
    """Check an experiment, its data and its model. Trains nothing.

    Prints the images by split and class, the learning rate of each stage, the preprocessing and the number of steps; or
    every problem at once. Of a bucket it lists the objects to download; archives and shards it downloads.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        experiment = named_experiment(terminal, source, model, set_)
        with watching(terminal.err) as on_event:
            with importing():
                from raytl.training.driver import plan

            result = plan(experiment, on_event, fetch=False)
        data, *rest = plan_tables(result, command("raytl", *_next(result, source, model, set_ or [])))
        objects = _objects(result)
        terminal.show(data, *([object_table(objects)] if objects else []), *rest)
        terminal.result(plan_json(result, objects))


def _next(plan: Plan, source: str, model: str | None, overrides: list[str]) -> list[str]:
    """Return the words of the next command: download the images if they are not on this node, else train."""
    if not plan.dataset.to_fetch or plan.experiment.data.stream:
        return ["train", *as_words(source, model, overrides)]
    if is_experiment_file(source):
        return ["sync", *as_words(source, model, overrides)]
    return ["sync", source, *storage_options(plan.experiment)]


def _objects(plan: Plan) -> dict[str, ObjectCounts]:
    """Return the counts of annotated objects by split, without the locked test split."""
    from raytl.data.object_counts import object_counts
    from raytl.data.targets import Boxes, Instances

    splits = {"train": plan.dataset.splits.train, "val": plan.dataset.splits.val}
    annotated = {name: samples for name, samples in splits.items() if samples.kinds() & {Boxes, Instances}}
    counts = {name: object_counts(samples.targets) for name, samples in annotated.items()}
    return {name: each for name, each in counts.items() if each}


def plan_json(plan: Plan, objects: Mapping[str, ObjectCounts]) -> dict[str, Any]:
    """Return the plan, with the counts of annotated objects by split, as plain JSON values."""
    return {
        "name": plan.experiment.name,
        "fingerprint": fingerprint(plan.experiment),
        "snapshot": plan.dataset.snapshot or None,
        "to_fetch": {uri: info.size for uri, info in plan.dataset.to_fetch.items()},
        "images": plan.dataset.splits.images,
        "counts": {split: by_class for split, by_class in plan.counts.items() if split != "test"},
        "objects": {split: asdict(counts) for split, counts in objects.items()},
        "changed_objects": [asdict(note) for note in plan.dataset.notes],
        "skipped": [asdict(bad) for bad in plan.dataset.skipped],
        "warnings": plan.warnings,
        "notes": plan.notes,
        "recipe": [asdict(choice) for choice in plan.recipe],
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
