"""`train`: from an experiment to a finished run folder, whatever happens to the workers or to this process on the way."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raytl.cluster.metrics import exporting_metrics
from raytl.cluster.worker_group import run_group
from raytl.config.dump import to_yaml
from raytl.config.fingerprint import differences
from raytl.config.schema import Experiment
from raytl.config.stored import stored_experiment
from raytl.data.bit_depth import SIXTEEN_BITS
from raytl.data.manifest import Sample
from raytl.errors import RunError
from raytl.events import Message, OnEvent, ignore
from raytl.metrics.confusion import matrix_of
from raytl.run import journal, plots
from raytl.run.atomic import write_bytes, write_json, write_text
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.folder import RunFolder
from raytl.run.logs import log_to, logged
from raytl.run.plain import encode
from raytl.run.provenance import PROVENANCE_FORMAT, provenance
from raytl.run.run_store import RunStore
from raytl.sanitize import command
from raytl.store.drafts import sweep
from raytl.training.checkpoint import forget_after, progress_of
from raytl.training.plan import Plan, make_plan
from raytl.training.records import CLASSES_FORMAT, SCORE_FORMAT, SUMMARY_FORMAT, BestScore
from raytl.training.worker import BEST_SCORE, Job, train_worker
from raytl.uris import is_remote


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: `epochs` were trained, `best_epoch` (one-based) is the one kept, with its validation metrics."""

    run: str
    status: Literal["trained", "resumed", "already finished"]
    best_epoch: int
    epochs: int
    metrics: dict[str, float]
    next: str


def plan(experiment: Experiment, on_event: OnEvent = ignore, fetch: bool = True) -> Plan:
    """Everything that `train(experiment)` would do; without `fetch`, no image is pulled for it.

    Raises:
        UserError: with every problem of the model and of the data at once.
    """
    return make_plan(experiment, on_event, fetch)


def train(experiment: Experiment, *, new: bool = False, on_event: OnEvent = ignore) -> TrainResult:
    """Fine-tune as `experiment` says, or go on where an interrupted run of it stopped; a finished one is left alone.

    With `new`, an existing run folder is set aside under another name first.

    Raises:
        UserError: something is wrong with the data, the model or the run folder; nothing was changed.
        TrainingError: training stopped; the checkpoints that it wrote are intact.
    """
    on_event = exporting_metrics(on_event, experiment.name)
    run_store = RunStore.of(experiment)
    folder = run_store.folder
    if new:
        run_store.set_aside(on_event)
    run_store.fetch()
    if folder.experiment.exists():
        _check_same(folder, experiment)
        if folder.finished:
            sweep(folder.root)
            return _result(run_store, "already finished")
    made = plan(experiment, on_event)
    with run_store.owned(on_event), log_to(folder.log, experiment.name):
        on_event = logged(on_event)
        for line in made.warnings:
            on_event(Message(line, "warning"))
        for line in made.notes:
            on_event(Message(line))
        resumed = progress_of(folder.last) is not None
        _write_head(folder, experiment, made, resumed)
        run_store.push()
        run_group(
            train_worker,
            _job(run_store, experiment, made),
            experiment.compute,
            scratch=folder.root / ".ray",
            on_event=on_event,
            progress=lambda: _position(run_store),
        )
        run_store.fetch()
        _finish(folder)
        run_store.push()
    return _result(run_store, "resumed" if resumed else "trained")


def _job(run_store: RunStore, experiment: Experiment, made: Plan) -> Job:
    splits = made.dataset.splits
    root = run_store.uri if is_remote(run_store.uri) else str(run_store.folder.root.resolve())
    depth = made.dataset.depth.depth
    return Job(experiment, root, splits.train, splits.val, splits.classes, bit_depth=depth, lease=run_store.write_token)


def _check_same(folder: RunFolder, experiment: Experiment) -> None:
    stored = stored_experiment(folder.experiment)
    found = differences(stored.recipe, experiment)
    found += [f"{key}: a key that this version of raytl does not know -> absent" for key in stored.unknown]
    if found:
        raise RunError(
            f"{folder.root} is a run of another experiment; what differs (there -> here):\n"
            + "\n".join(f"  {line}" for line in found)
            + "\n  Give this one another name, or start over with --new (the old run is kept aside)."
        )


def _write_head(folder: RunFolder, experiment: Experiment, made: Plan, resumed: bool) -> None:
    """Write what the run is made of, or check that an interrupted run is still made of the same."""
    if resumed:
        _check_data(folder, made)
        forget_after(folder)
        return
    splits = made.dataset.splits
    record = {
        **provenance(experiment.train.seed),
        "dataset": made.dataset.digest,
        "test": {"count": splits.test.count, "digest": splits.test.digest},
        "weights": made.weights_digest,
        "bit_depth": made.dataset.depth.depth.bits,
    }
    write_bytes(folder.samples, b"".join(encode(s.record()) + b"\n" for s in _all_samples(made)))
    write_bytes(folder.skipped, b"".join(encode(asdict(bad)) + b"\n" for bad in made.dataset.skipped))
    write_json(folder.classes, list(splits.classes))
    write_json(folder.provenance, record)
    write_text(folder.experiment, to_yaml(experiment))
    folder.metrics.unlink(missing_ok=True)
    shutil.rmtree(folder.tensorboard, ignore_errors=True)


def _all_samples(made: Plan) -> list[Sample]:
    """Every sample, the test's too: evaluation reads them from the record, and checks that they are the same."""
    return sorted(made.dataset.samples, key=lambda sample: sample.key)


def _check_data(folder: RunFolder, made: Plan) -> None:
    record = PROVENANCE_FORMAT.load(folder.provenance)
    found, bits = record.dataset, record.bit_depth or SIXTEEN_BITS.bits
    if bits != made.dataset.depth.depth.bits:
        raise RunError(
            f"{folder.root}: this run began with a bit depth of {bits}; expected {made.dataset.depth.depth.bits} "
            f"({made.dataset.depth.reason}). Start over with --new (the old run is kept aside)."
        )
    if found != made.dataset.digest:
        raise RunError(
            f"{folder.root}: the dataset changed since this run began (fingerprint {found[:12]} then, "
            f"{made.dataset.digest[:12]} now).\n  Put it back, or start over with --new (the old run is kept aside)."
        )


def _position(run_store: RunStore) -> int:
    run_store.fetch()
    progress = progress_of(run_store.folder.last)
    return progress.epoch * 10**9 + progress.step if progress else 0


def _finish(folder: RunFolder) -> None:
    score = SCORE_FORMAT.load(folder.best / BEST_SCORE)
    records = journal.read(folder.metrics, EPOCH_FORMAT)
    classes = CLASSES_FORMAT.load(folder.classes)
    plots.curves(records, folder.curves)
    plots.confusion(_matrix(folder, score, len(classes)), classes, folder.confusion)
    summary = {"best_epoch": score.epoch, "epochs": len(records), "metrics": score.metrics}
    folder.write_manifest(summary)


def _matrix(folder: RunFolder, score: BestScore, classes: int) -> NDArray[np.int64]:
    try:
        return matrix_of(score.confusion, classes)
    except (ValueError, KeyError) as error:
        where = folder.best / BEST_SCORE
        raise RunError(
            f"{where}: confusion: {error}; expected counts of {classes} classes. {SCORE_FORMAT.advice}"
        ) from error


def _result(run_store: RunStore, status: Literal["trained", "resumed", "already finished"]) -> TrainResult:
    summary = SUMMARY_FORMAT.typed(run_store.folder.summary(), f"{run_store.folder.manifest}: summary")
    run = run_store.uri if is_remote(run_store.uri) else str(run_store.folder.root)
    return TrainResult(
        run=run,
        status=status,
        best_epoch=summary.best_epoch,
        epochs=summary.epochs,
        metrics=summary.metrics,
        next=command("raytl", "evaluate", run),
    )
