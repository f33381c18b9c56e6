"""A trained run becomes a version: what is worth keeping of it, laid out as a run, and what later ticks need to know."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.data.samples import SAMPLE_FORMAT
from raytl.errors import ModelError
from raytl.events import Message, OnEvent
from raytl.models.card import read_card
from raytl.registry.record import About, Record
from raytl.registry.registry import Registry
from raytl.retrain.features import FILE as REFERENCE
from raytl.retrain.features import seen, some
from raytl.retrain.gate import Comparison
from raytl.retrain.split_file import Memory
from raytl.retrain.ticks import Tick
from raytl.run import journal
from raytl.run.atomic import write_bytes
from raytl.run.folder import RunFolder
from raytl.run.provenance import PROVENANCE_FORMAT, user
from raytl.store.s3_settings import S3Settings

MEMORY = "memory.jsonl"
_KEPT = (
    "experiment.yaml",
    "provenance.json",
    "samples.jsonl",
    "skipped.jsonl",
    "classes.json",
    "metrics.jsonl",
    "curves.png",
    "confusion.png",
)


def published(
    registry: Registry,
    tick: Tick,
    contest: Comparison,
    run: RunFolder,
    memory: Memory,
    experiment: Experiment,
    on_event: OnEvent,
) -> Record:
    """The version that `run` is now; the one that an earlier attempt of the same tick made, if it did."""
    newest = registry.newest_record()
    if newest is not None and newest.about.tick == tick.id:
        return newest
    with tempfile.TemporaryDirectory() as folder:
        stage = RunFolder(Path(folder))
        for name in _KEPT:
            if (run.root / name).exists():
                shutil.copyfile(run.root / name, stage.root / name)
        shutil.copytree(run.best, stage.best)
        write_bytes(stage.root / MEMORY, memory.encoded())
        _write_reference(run, stage, experiment, on_event)
        stage.write_manifest(run.summary())
        return registry.publish(stage.root, _about(tick, contest, run))


def recorded_samples(folder: Path) -> tuple[Sample, ...]:
    """Every sample that the version was made from."""
    return tuple(journal.read(folder / "samples.jsonl", SAMPLE_FORMAT))


def _write_reference(run: RunFolder, stage: RunFolder, experiment: Experiment, on_event: OnEvent) -> None:
    """Keep what the model sees of the images that it was not trained on: new ones are held against them."""
    held_out = some([sample for sample in recorded_samples(run.root) if sample.split != "train"])
    try:
        s3 = S3Settings.of(experiment.storage)
        found = seen(run.best, held_out, experiment.compute.device, experiment.data.max_pixels, on_event, s3)
    except ModelError as error:
        on_event(Message(f"drift will not be measured against this version: {error}", "warning"))
        return
    write_bytes(stage.root / REFERENCE, found.encoded())


def _about(tick: Tick, contest: Comparison, run: RunFolder) -> About:
    card = read_card(run.best)
    provenance = PROVENANCE_FORMAT.load(run.provenance)
    assert tick.changes is not None, "a tick that trained knows its data"
    start = getattr(tick.decision, "start", None)
    return About(
        model=card.model,
        classes=card.classes,
        preprocess=card.preprocess.to_json(),
        weights=card.digest,
        snapshot=tick.changes.snapshot,
        evaluation=contest.evaluation,
        metrics=contest.metrics,
        parent=start,
        run=tick.run,
        tick=tick.id,
        git=provenance.git,
        who=user(),
        created=tick.started,
    )
