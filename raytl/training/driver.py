"""`train`: run an experiment to a finished run folder; a killed run resumes from its last checkpoint."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raytl.cluster.metrics import exporting_metrics
from raytl.cluster.placement import runs_in_process
from raytl.cluster.worker_group import run_group
from raytl.config.dump import to_yaml
from raytl.config.fingerprint import differences
from raytl.config.machine import storage_options
from raytl.config.schema import Experiment
from raytl.config.stored import stored_experiment
from raytl.data.bit_depth import SIXTEEN_BITS
from raytl.data.samples import records
from raytl.errors import RaytlError, RunError, first_line
from raytl.events import Message, OnEvent, ignore
from raytl.labelling import sheet
from raytl.labelling.change import UNCHANGED
from raytl.labelling.record import FILE as CHANGES
from raytl.labelling.record import LabelChanges, stored_changes, write_changes
from raytl.labelling.settings import settings_of
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
from raytl.tasks.auto_recipe import adopted, write_choices
from raytl.tasks.defaults import completed
from raytl.tasks.detect import with_task
from raytl.training.auxiliary_columns import columns_digest
from raytl.training.checkpoint import drop_later_metrics, read_progress
from raytl.training.job import TrainJob
from raytl.training.plan import Plan, make_plan
from raytl.training.records import CLASSES_FORMAT, SCORE_FORMAT, SUMMARY_FORMAT, BestScore
from raytl.training.run_writer import BEST_SCORE
from raytl.training.worker import train_worker
from raytl.uris import is_remote


@dataclass(frozen=True)
class TrainResult:
    """The end of a run: the number of `epochs` trained, and the kept `best_epoch` (one-based) with its validation metrics."""

    run: str
    status: Literal["trained", "resumed", "already finished"]
    best_epoch: int
    epochs: int
    metrics: dict[str, float]
    next: str


def plan(
    experiment: Experiment, on_event: OnEvent = ignore, fetch: bool = True, recorded: LabelChanges | None = None
) -> Plan:
    """Return what `train(experiment)` would do; without `fetch`, no image is downloaded for it. `recorded` are the label changes
    of an earlier start.

    Raises:
        UserError: all problems of the model and of the data, at once.
    """
    return make_plan(completed(with_task(experiment, on_event)), on_event, fetch, recorded)


def train(experiment: Experiment, *, new: bool = False, on_event: OnEvent = ignore) -> TrainResult:
    """Fine-tune as `experiment` says, or resume an interrupted run; a finished run is left unchanged.

    With `new`, an existing run folder is renamed first.

    Raises:
        UserError: the data, the model or the run folder has a problem; nothing was changed.
        TrainingError: training stopped; its checkpoints are intact.
    """
    experiment = completed(with_task(experiment, on_event))
    on_event = exporting_metrics(on_event, experiment.name)
    run_store = RunStore.of(experiment)
    folder = run_store.folder
    run_plan = plan(experiment, on_event) if new else None  # a fault is found before the old run is renamed
    if new:
        run_store.set_aside(on_event)
    run_store.fetch()
    if folder.experiment.exists():
        experiment = adopted(folder.root, experiment)
        _check_same(folder, experiment)
        if folder.finished:
            sweep(folder.root)
            return _result(run_store, experiment, "already finished")
    if run_plan is None:
        recorded = stored_changes(folder.root) if _has_begun(folder) else None
        run_plan = plan(experiment, on_event, recorded=recorded)
    with run_store.owned(on_event), log_to(folder.log, experiment.name):
        resumed = _train(run_store, run_plan, logged(on_event))
    return _result(run_store, experiment, "resumed" if resumed else "trained")


def is_unchanged(folder: RunFolder, experiment: Experiment) -> bool:
    """Return True if the run in `folder` began with `experiment`, which is resolved, and with its data and pretrained weights as
    they are now.

    Raises:
        UserError: the data or the model has a problem.
    """
    try:
        _check_same(folder, experiment)
        run_plan = plan(experiment, recorded=stored_changes(folder.root))
        _check_data(folder, run_plan)
    except RunError:
        return False
    return bool(PROVENANCE_FORMAT.load(folder.provenance).weights == run_plan.weights_digest)


def train_here(job: TrainJob, on_event: OnEvent = ignore) -> RunFolder:
    """Train `job` in this process, or resume it, and return its folder, which has the best checkpoint but is no run.

    Raises:
        RunError: another process trains it.
        TrainingError: training stopped; its checkpoints are intact.
    """
    run_store = job.run_store()
    with run_store.owned(on_event):
        scratch = run_store.folder.root / ".ray"
        run_group(train_worker, job, job.experiment.compute, scratch=scratch, on_event=on_event)
    return run_store.folder


def _train(run_store: RunStore, run_plan: Plan, on_event: OnEvent) -> bool:
    """Train to the end and write the results; return True if an earlier start had left a checkpoint."""
    experiment, folder = run_plan.experiment, run_store.folder
    for line in run_plan.warnings:
        on_event(Message(line, "warning"))
    for line in run_plan.notes:
        on_event(Message(line))
    if run_plan.recipe:
        chosen = ", ".join(f"{one.key.rpartition('.')[2]} {one.value}" for one in run_plan.recipe)
        on_event(Message(f"recipe: {chosen} (`raytl check` prints the reasons)"))
    resumed = _has_begun(folder)
    _write_inputs(folder, run_plan, resumed)
    run_store.push()
    job = _job(run_store, run_plan)
    run_group(
        train_worker,
        job,
        experiment.compute,
        scratch=folder.root / ".ray",
        on_event=on_event,
        progress=lambda: _position(run_store),
    )
    run_store.fetch()
    _finish(folder)
    run_store.push()
    try:
        job.discard_samples()
    except RaytlError as error:
        on_event(Message(f"the samples for the workers were not removed: {first_line(error)}", "warning"))
    return resumed


def _job(run_store: RunStore, run_plan: Plan) -> TrainJob:
    dataset = run_plan.dataset
    job = TrainJob(
        experiment=run_plan.experiment,
        location=run_store.uri if is_remote(run_store.uri) else str(run_store.folder.root.resolve()),
        train=dataset.splits.train,
        val=dataset.splits.val,
        classes=dataset.splits.classes,
        bit_depth=dataset.depth.depth,
        write_token=run_store.write_token,
        sources=run_plan.sources.samples,
        changes=run_plan.changes,
    )
    job = job.with_fixed_weights()
    return job if runs_in_process(run_plan.experiment.compute) else job.sharing_samples()


def _check_same(folder: RunFolder, experiment: Experiment) -> None:
    stored = stored_experiment(folder.experiment)
    changed = differences(stored.recipe, experiment)
    changed += [f"{key}: a key that this version of raytl does not know -> absent" for key in stored.unknown]
    if changed:
        raise RunError(
            f"{folder.root}: a run of another experiment; differences (there -> here):\n"
            + "\n".join(f"  {line}" for line in changed)
            + "\n  Rename this experiment, or start over with --new (the old run is renamed, not deleted)."
        )


def _write_inputs(folder: RunFolder, run_plan: Plan, resumed: bool) -> None:
    """Record the experiment, data and versions of a new run; check that a resumed run still has the same data and weights."""
    if resumed:
        _check_data(folder, run_plan)
        drop_later_metrics(folder)
        return
    experiment, dataset = run_plan.experiment, run_plan.dataset
    splits = dataset.splits
    record = {
        **provenance(experiment.train.seed),
        "dataset": dataset.digest,
        "test": {"count": splits.test.count, "digest": splits.test.digest},
        "weights": run_plan.weights_digest,
        "bit_depth": dataset.depth.depth.bits,
    }
    if run_plan.sources.digests:
        record["sources"] = dict(run_plan.sources.digests)
    if columns := columns_digest(experiment, splits.train):
        record["auxiliary"] = columns
    if changed := _label_changes(run_plan):
        record["label_changes"] = changed
    change = run_plan.changes.get(settings_of(experiment), UNCHANGED)
    if by_method := change.by_method():
        record["label_methods"] = by_method
    if dataset.corrections:
        record["corrections"] = dict(dataset.corrections)
    lines = records(dataset.samples.by_key(), lambda value: encode(value).decode())
    write_bytes(folder.samples, b"".join(line.encode() + b"\n" for line in lines))
    write_bytes(folder.skipped, b"".join(encode(asdict(bad)) + b"\n" for bad in dataset.skipped))
    write_json(folder.classes, list(splits.classes))
    write_json(folder.provenance, record)
    if change.doubtful:
        write_text(folder.root / sheet.TABLE, sheet.table(change.doubtful))
    if run_plan.recipe:  # a start before the first checkpoint adopts the choices of the one before
        write_choices(folder.root, run_plan.recipe)
    write_changes(folder.root, run_plan.changes)
    write_text(folder.experiment, to_yaml(experiment))
    folder.metrics.unlink(missing_ok=True)
    for before in (folder.tensorboard, folder.head, folder.warmup.head):  # a head may be of other images or labels
        shutil.rmtree(before, ignore_errors=True)


def _label_changes(run_plan: Plan) -> dict[str, int | str] | None:
    """Return the summary of what label methods change; None without any."""
    change = run_plan.changes.get(settings_of(run_plan.experiment))
    return None if change is None else change.summary()


def _check_data(folder: RunFolder, run_plan: Plan) -> None:
    record = PROVENANCE_FORMAT.load(folder.provenance)
    _check_weights(folder, run_plan, record.weights)
    before, now = record.bit_depth or SIXTEEN_BITS.bits, run_plan.dataset.depth.depth.bits
    if before != now:
        raise RunError(
            f"{folder.root}: this run began with a bit depth of {before}; expected {now} "
            f"({run_plan.dataset.depth.reason}). Start over with --new (the old run is renamed, not deleted)."
        )
    differing = {key for key, _ in {*record.sources.items()} ^ {*run_plan.sources.digests.items()}}
    if differing:
        raise RunError(
            f"{folder.root}: the images of {', '.join(sorted(differing))} changed since this run began.\n"
            "  Restore them, or start over with --new (the old run is renamed, not deleted)."
        )
    if record.dataset != run_plan.dataset.digest:
        raise RunError(
            f"{folder.root}: the dataset changed since this run began (fingerprint {record.dataset[:12]} then, "
            f"{run_plan.dataset.digest[:12]} now).\n  Restore it, or start over with --new (the old run is renamed, not deleted)."
        )
    if record.auxiliary != columns_digest(run_plan.experiment, run_plan.dataset.splits.train):
        raise RunError(
            f"{folder.root}: the values of auxiliary.columns changed since this run began.\n"
            "  Restore them, or start over with --new (the old run is renamed, not deleted)."
        )
    if record.label_changes != _label_changes(run_plan):
        raise RunError(
            f"{folder.root}: what label methods change is not what this run began with; {CHANGES} is missing or was edited.\n"
            "  Restore it, or start over with --new (the old run is renamed, not deleted)."
        )


def _check_weights(folder: RunFolder, run_plan: Plan, before: object) -> None:
    """Check that the file, run or version of `model.weights` has the tensors with the digest `before`; None = not recorded.

    Those of a library are named by the model, and resized to another image size they may differ in a bit between CPUs.
    """
    weights = run_plan.experiment.model.weights
    if before is None or weights in ("pretrained", "none") or (now := run_plan.weights_digest) == before:
        return
    raise RunError(
        f"{folder.root}: model.weights: {weights} changed since this run began (digest {str(before)[:12]} then, {now[:12]} now).\n"
        "  Restore it, or start over with --new (the old run is renamed, not deleted)."
    )


def _has_begun(folder: RunFolder) -> bool:
    """Return True if an earlier start left a checkpoint, of training or of the warm-up before it."""
    return any(read_progress(each.last) is not None for each in (folder, folder.warmup))


def _position(run_store: RunStore) -> int:
    run_store.fetch()
    folder, position = run_store.folder, 0
    for each in (folder.warmup, folder):  # a warm-up comes before training, so its checkpoint stays as it ended
        if (progress := read_progress(each.last)) is not None:
            position += progress.epoch * 10**9 + progress.step
    return position


def _finish(folder: RunFolder) -> None:
    score = SCORE_FORMAT.load(folder.best / BEST_SCORE)
    records = journal.read(folder.metrics, EPOCH_FORMAT)
    names = score.names or CLASSES_FORMAT.load(folder.classes)
    plots.curves(records, folder.curves)
    plots.confusion(_matrix(folder, score, len(names)), names, folder.confusion, "counts" if score.names else "images")
    summary = {"best_epoch": score.epoch, "epochs": len(records), "metrics": score.metrics}
    folder.write_manifest(summary)


def _matrix(folder: RunFolder, score: BestScore, classes: int) -> NDArray[np.int64]:
    try:
        return matrix_of(score.confusion, classes)
    except (ValueError, KeyError) as error:
        path = folder.best / BEST_SCORE
        raise RunError(
            f"{path}: confusion: {error}; expected counts of {classes} classes. {SCORE_FORMAT.advice}"
        ) from error


def _result(
    run_store: RunStore, experiment: Experiment, status: Literal["trained", "resumed", "already finished"]
) -> TrainResult:
    summary = SUMMARY_FORMAT.typed(run_store.folder.summary(), f"{run_store.folder.manifest}: summary")
    run = run_store.uri if is_remote(run_store.uri) else str(run_store.folder.root)
    return TrainResult(
        run=run,
        status=status,
        best_epoch=summary.best_epoch,
        epochs=summary.epochs,
        metrics=summary.metrics,
        next=command("raytl", "evaluate", run, *storage_options(experiment)),
    )
