"""A trained run becomes a version: its lasting files, laid out as a run, and the memory that later ticks need."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.data.samples import SAMPLE_FORMAT
from raytl.data.split_memory import MEMORY as MEMORY
from raytl.errors import ModelError
from raytl.events import Message, OnEvent
from raytl.models.card import read_card
from raytl.registry.bundles import BUNDLES
from raytl.registry.record import About, Record
from raytl.registry.registry import Registry
from raytl.retraining.features import FILE as REFERENCE
from raytl.retraining.features import extract, subset
from raytl.retraining.gate import Comparison
from raytl.retraining.splits import Memory
from raytl.retraining.ticks import Tick
from raytl.run import journal
from raytl.run.atomic import write_bytes
from raytl.run.folder import RunFolder
from raytl.run.provenance import PROVENANCE_FORMAT, user
from raytl.store.s3_settings import S3Settings

_PUBLISHED = (
    "experiment.yaml",
    "provenance.json",
    "samples.jsonl",
    "skipped.jsonl",
    "classes.json",
    "metrics.jsonl",
    "curves.png",
    "confusion.png",
)


def publish_version(
    registry: Registry,
    tick: Tick,
    comparison: Comparison,
    run: RunFolder,
    memory: Memory,
    experiment: Experiment,
    on_event: OnEvent,
) -> Record:
    """Publish `run` and return the version, or the version that an earlier attempt of the same tick published."""
    newest = registry.newest_record()
    if newest is not None and newest.about.tick == tick.id:
        return newest
    with tempfile.TemporaryDirectory() as folder:
        stage = RunFolder(Path(folder))
        for name in _PUBLISHED:
            if (run.root / name).exists():
                shutil.copyfile(run.root / name, stage.root / name)
        shutil.copytree(run.best, stage.best)
        copy_evaluations(run, stage)
        if (run.root / BUNDLES).is_dir():
            shutil.copytree(run.root / BUNDLES, stage.root / BUNDLES, ignore=shutil.ignore_patterns(".*"))
        write_bytes(stage.root / MEMORY, memory.encoded())
        _write_reference(run, stage, experiment, on_event)
        stage.write_manifest(run.summary())
        return registry.publish(stage.root, _about(tick, comparison, run))


def copy_evaluations(run: RunFolder, stage: RunFolder) -> None:
    """Copy the ledger and the reports: looks at the test split, and operating points, belong to the model."""
    if run.ledger.exists():
        shutil.copyfile(run.ledger, stage.ledger)
    if run.evaluation.is_dir():
        shutil.copytree(run.evaluation, stage.evaluation, ignore=shutil.ignore_patterns(".*"))


def recorded_samples(folder: Path) -> tuple[Sample, ...]:
    """Return every sample of a version's or run's data."""
    return tuple(journal.read(folder / "samples.jsonl", SAMPLE_FORMAT))


def _write_reference(run: RunFolder, stage: RunFolder, experiment: Experiment, on_event: OnEvent) -> None:
    """Save the model's features of held-out images: drift is measured against them."""
    held_out = subset([sample for sample in recorded_samples(run.root) if sample.split != "train"])
    try:
        s3 = S3Settings.of(experiment.storage)
        table = extract(run.best, held_out, experiment.compute.device, experiment.data.max_pixels, on_event, s3)
    except ModelError as error:
        on_event(Message(f"drift will not be measured against this version: {error}", "warning"))
        return
    write_bytes(stage.root / REFERENCE, table.encoded())


def _about(tick: Tick, comparison: Comparison, run: RunFolder) -> About:
    card = read_card(run.best)
    provenance = PROVENANCE_FORMAT.load(run.provenance)
    assert tick.changes is not None, "a tick that trained has observed its data"
    start = getattr(tick.decision, "start", None)
    return About(
        model=card.model,
        classes=card.classes,
        preprocess=card.preprocess.to_json(),
        weights=card.digest,
        snapshot=tick.changes.snapshot,
        evaluation=comparison.evaluation,
        metrics=comparison.metrics,
        parent=start,
        run=tick.run,
        tick=tick.id,
        git=provenance.git,
        who=user(),
        created=tick.started,
    )
