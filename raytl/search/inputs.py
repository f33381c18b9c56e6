"""The inputs of a sweep: the experiment with its data and space, and the study and job that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from raytl.config.adapt import AFTER_TRAINING
from raytl.config.fingerprint import decisive
from raytl.config.override import with_defaults
from raytl.config.places import sweep_uri
from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.config.space import Space, space_of, word_faults
from raytl.config.stored import stored_experiment
from raytl.data.group_split import group_columns
from raytl.data.sample_table import SampleTable
from raytl.errors import ConfigError
from raytl.events import Message, OnEvent
from raytl.labelling.record import stored_changes, write_changes
from raytl.run.atomic import write_json
from raytl.search.comparison import another_experiment, sweep_differences
from raytl.search.corners import check_corners, depth_fault, shared_head_fault
from raytl.search.earlier import Wanted, earlier_sweeps
from raytl.search.folds import FEW_IMAGES, check_folds, fold_column_notes, fold_jobs
from raytl.search.prior import FILE as PRIOR
from raytl.search.prior import NO_PRIOR, Prior, load
from raytl.search.storage import STUDY_FILES
from raytl.search.study import TRIALS, Study
from raytl.search.summary import TOTAL, Total, ended, sweep_root, total_of
from raytl.search.trial import epochs_of
from raytl.store.lease import WriteToken
from raytl.store.s3_settings import S3Settings
from raytl.tasks.auto_recipe import FILE, adopted
from raytl.training.auxiliary_columns import check_turns, columns_digest
from raytl.training.driver import plan
from raytl.training.job import TrainJob
from raytl.training.plan import Plan
from raytl.uris import is_remote

_NOTHING = ".new"
"""A folder that is not there."""


@dataclass(frozen=True)
class SweepInputs:
    """Everything that is fixed before a sweep starts; `base` is the experiment by dotted key, for conditions.
    `prior` are the earlier sweeps that it starts from; None if it began without."""

    experiment: Experiment
    plan: Plan
    stages: int
    space: Space
    base: dict[str, Any]
    folder: Path
    prior: Prior | None = None
    trials: Experiment | None = None
    """The experiment of the trials if their images are smaller."""

    def of_trials(self, experiment: Experiment) -> SweepInputs:
        """Return the inputs with the experiment of the trials."""
        return replace(self, trials=experiment)


def sweep_inputs(experiment: Experiment, on_event: OnEvent, *, new: bool = False) -> SweepInputs:
    """Read the data, build the model and resolve the space of `experiment`; with `new`, as if no sweep had begun in its folder.

    Raises:
        UserError: the data, the model or the space has a problem, or a trial of the space contradicts the experiment.
    """
    _refuse_warmup(experiment)
    root = sweep_root(experiment) / _NOTHING if new else sweep_root(experiment)
    _check_space(experiment, root, on_event)
    train_plan = plan(adopted(root, _as_long_as_a_trial(experiment, root)), on_event, recorded=stored_changes(root))
    experiment = train_plan.experiment
    for line in train_plan.notes:
        on_event(Message(line))
    if advice := _advice(experiment.search, train_plan.dataset.splits.images):
        on_event(Message(advice))
    if fault := _storage_fault(experiment):
        on_event(Message(fault, "warning"))
    if experiment.adapt.method in AFTER_TRAINING:
        text = f"trials are scored before adapt.method: {experiment.adapt.method}; the winner's refit is adapted"
        on_event(Message(text))
    splits = train_plan.dataset.splits
    if folds := experiment.search.folds:
        groups = group_columns(experiment.data.columns)
        table = SampleTable.of([*splits.train, *splits.val])
        check_folds(table, splits.classes, folds, groups)
        for note in fold_column_notes(_learned_columns(experiment), table, folds, groups):
            on_event(Message(note, "warning"))
    stages = len(train_plan.stages) - 1
    space = space_of(experiment).resolved(stages)
    _refuse_new(depth_fault(space, stages), root, on_event)
    base = {**decisive(experiment.model_copy()), **_by_key(experiment.model_dump())}
    check_corners(experiment, space)
    check_turns(experiment, train_plan.preprocess, "auxiliary.rotation" in {each.key for each in space.dimensions})
    inputs = SweepInputs(experiment, train_plan, stages, space, base, sweep_root(experiment))
    return replace(inputs, prior=_prior(inputs, root, on_event))


def _learned_columns(experiment: Experiment) -> list[str]:
    """Return the columns of auxiliary heads that some trial may learn."""
    is_learned = experiment.auxiliary.weight != 0 or "auxiliary.weight" in (experiment.search.space or {})
    return experiment.auxiliary.columns if is_learned else []


def _refuse_warmup(experiment: Experiment) -> None:
    if (method := experiment.warmup.method) != "none":
        raise ConfigError(
            f"warmup.method: found {method}; a sweep does not warm up, as each of its trials would have other stages and rates. "
            "Warm up with `raytl train`, then start the sweep from that network: model.weights: RUN/warmup, warmup.method: none"
        )


def _check_space(experiment: Experiment, folder: Path, on_event: OnEvent) -> None:
    """Refuse keys of the space that contradict the head that all trials start from, and conditions with words that a key never
    has."""
    for fault in (shared_head_fault(experiment), "\n".join(word_faults(experiment))):
        _refuse_new(fault, folder, on_event)


def _refuse_new(fault: str, folder: Path, on_event: OnEvent) -> None:
    """Raise a ConfigError if there is a `fault`; a sweep in `folder` that began with it resumes, with a warning."""
    if not fault:
        return
    if not _has_begun(folder):
        raise ConfigError(fault)
    on_event(Message(fault, "warning"))


def _has_begun(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("experiment.yaml", "study.log", "study.db"))


def _prior(inputs: SweepInputs, folder: Path, on_event: OnEvent) -> Prior | None:
    """Return the earlier sweeps that the sweep in `folder` began with; read those that `search.prior` names if it has not begun."""
    locations = inputs.experiment.search.prior
    if (folder / PRIOR).exists():
        return load(folder)
    if locations is None:
        return None
    if _has_begun(folder):
        on_event(Message("search.prior: not used, as this sweep began without it; --new starts over", "warning"))
        return None
    locations = [locations] if isinstance(locations, str) else locations
    earlier = earlier_sweeps(locations, S3Settings.of(inputs.experiment.storage), _wanted(inputs))
    if earlier.unused:
        on_event(Message(f"search.prior: not used: {earlier.unused}", "warning"))
    if not earlier.used:
        text = "no earlier sweep of this task, model and objective; this one starts without"
        on_event(Message(f"search.prior: {text}", "warning"))
    return earlier.prior


def _wanted(inputs: SweepInputs) -> Wanted:
    experiment = inputs.experiment
    return Wanted(
        space=inputs.space,
        base=inputs.base,
        stages=inputs.stages,
        metric=experiment.search.metrics[0],
        same={"task": experiment.task, "model.name": experiment.model.name},
        dataset=inputs.plan.dataset.digest,
        own=sweep_uri(experiment),
    )


def _advice(search: SearchConfig, images: Mapping[str, int]) -> str:
    """Return the advice to use folds if there are few validation images."""
    train, val = images["train"], images["val"]
    if search.folds is not None or val >= FEW_IMAGES:
        return ""
    return (
        f"{val} validation images are few: with many trials, the luckiest one wins; search.folds: 3 scores each trial on all "
        f"{train + val} images of train and val, at two to three times the cost"
    )


def _storage_fault(experiment: Experiment) -> str:
    """Return why the study may be lost with this machine; empty if it is safe."""
    if experiment.search.storage != "sqlite" or not is_remote(sweep_uri(experiment)):
        return ""
    return (
        "search.storage: found sqlite, and the sweep is in a bucket: a database that is uploaded in the middle of a write cannot "
        "be read where this machine is lost. New sweeps are safe with search.storage: journal"
    )


def _as_long_as_a_trial(experiment: Experiment, root: Path) -> Experiment:
    """Return the experiment with the epochs of its trials where none are set, so that the recipe fits its schedule to them."""
    limit = experiment.search.budget.max_epochs
    has_no_recipe = (root / "experiment.yaml").exists() and not (root / FILE).exists()
    if limit is None or experiment.recipe == "none" or has_no_recipe:
        return experiment
    return with_defaults(experiment, {"train.epochs": limit})


def check_finished(folder: Path, experiment: Experiment) -> None:
    """Check that the finished sweep in `folder` is that of `experiment`; its data is not read.

    Raises:
        ConfigError: its stored experiment is damaged.
        RunError: it is the sweep of another experiment; lists the differences.
    """
    file = folder / "experiment.yaml"
    if not file.exists():
        return
    resolved = adopted(folder, _as_long_as_a_trial(experiment, folder))
    if lines := sweep_differences(stored_experiment(file), resolved):
        raise another_experiment(folder, lines)


def open_study(inputs: SweepInputs) -> Study:
    """Open the study of the sweep, or create it.

    Raises:
        ConfigError: the sampler is not available, or the database cannot be opened.
        RunError: the folder holds a sweep of another experiment.
    """
    inputs.folder.mkdir(parents=True, exist_ok=True)
    study = _study(inputs)
    if stored_changes(inputs.folder) is None:
        write_changes(inputs.folder, inputs.plan.changes)
    return study


def ended_trials(inputs: SweepInputs) -> int:
    """Return the number of trials that ended, also of an interrupted sweep; nothing is written.

    Raises:
        RunError: the folder holds a sweep of another experiment.
    """
    file = STUDY_FILES.get(inputs.experiment.search.storage)
    if file is not None and (inputs.folder / file).exists():
        return _study(inputs).counts()[0]
    return ended(inputs.folder)


def _study(inputs: SweepInputs) -> Study:
    experiment = inputs.experiment
    return Study.open(
        inputs.folder,
        experiment.search,
        name=experiment.name,
        space=inputs.space,
        base=inputs.base,
        stages=inputs.stages,
        epochs=epochs_of(experiment),
        same=_same(inputs),
        root=_trials_location(experiment),
        prior=inputs.prior or NO_PRIOR,
    )


def _same(inputs: SweepInputs) -> dict[str, Any]:
    """Return what all trials have in common, by key."""
    experiment, train_plan = inputs.experiment, inputs.plan
    keys = {dimension.key for dimension in inputs.space.dimensions}
    same = {key: value for key, value in decisive(experiment).items() if key not in keys}
    dataset, sources = train_plan.dataset, train_plan.sources
    if columns := columns_digest(experiment, dataset.splits.train):
        same["values of auxiliary.columns"] = columns
    same |= {"dataset": dataset.digest, "weights": train_plan.weights_digest, **dataset.depth.recorded}
    same |= {f"images of {key}": digest for key, digest in sources.digests.items()}
    same |= {f"label changes of {', '.join(key)}": each.summary() for key, each in train_plan.changes.items()}
    same |= {
        "search.budget.max_epochs": epochs_of(experiment),
        "search.linear_probe": experiment.search.linear_probe,
    }
    if inputs.trials is not None:
        same["search.image_scale"] = experiment.search.image_scale
    return same | ({"search.folds": experiment.search.folds} if experiment.search.folds else {})


def set_total(inputs: SweepInputs, study: Study, add: int) -> Total:
    """Set, store and return the number of trials (see `total_of`)."""
    total = total_of(inputs.folder, inputs.experiment.search, add, study.limit)
    study.trials = total.trials
    write_json(inputs.folder / TOTAL, asdict(total))
    return total


def sweep_job(inputs: SweepInputs, write_token: WriteToken | None = None) -> TrainJob:
    """Return the job from which those of the trials are derived."""
    experiment, splits = inputs.trials or inputs.experiment, inputs.plan.dataset.splits
    job = TrainJob(
        experiment=experiment,
        location=_trials_location(experiment),
        train=splits.train,
        val=splits.val,
        classes=splits.classes,
        bit_depth=inputs.plan.dataset.depth.depth,
        write_token=write_token,
        sources=inputs.plan.sources.samples,
        changes=inputs.plan.changes,
        feature_seed=None if experiment.search.feature_cache == "off" else experiment.train.seed,
    )
    job, folds = job.with_fixed_weights(), experiment.search.folds
    return job if folds is None else replace(job, folds=fold_jobs(job, folds))


def _trials_location(experiment: Experiment) -> str:
    uri = sweep_uri(experiment)
    return f"{uri}/{TRIALS}" if is_remote(uri) else str((sweep_root(experiment) / TRIALS).resolve())


def _by_key(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of sections, and of sections in them, by dotted key."""
    flat = {f"{prefix}{key}": value for key, value in values.items()}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _by_key(value, f"{prefix}{key}.")
    return flat
