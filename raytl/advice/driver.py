"""`advise`: measure candidates on the training images, choose one, and let the recipe choose how to fine-tune it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from raytl.advice.candidates import Candidate
from raytl.advice.curve import probe_curve
from raytl.advice.measure import Measured, compared, is_worse, measured
from raytl.advice.result import Advice, CandidateFit
from raytl.advice.words import always_unmeasured, sentences
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.data.group_split import group_columns
from raytl.data.manifest import Sample
from raytl.errors import DataError, ModelError, RaytlError, first_line
from raytl.events import OnEvent, Work
from raytl.labelling.copies import photo_groups
from raytl.labelling.suspect import SuspectLabel
from raytl.metrics.suspects import is_trusted, pooled, suspects
from raytl.models.backbone import Backbone
from raytl.models.frozen import left_out_probabilities
from raytl.models.group_gap import GroupGap, group_gap
from raytl.store.s3_settings import S3Settings
from raytl.tasks.cached_features import cached_features
from raytl.tasks.probe_solver import measured_sample
from raytl.tasks.registry import task_named
from raytl.tasks.task import HeadSolver, Task
from raytl.training.dataset import Dataset, read_dataset
from raytl.training.plan import make_plan

LIMIT = 2000
"""Training images that are measured at most, evenly spaced in each class."""
Targets = Callable[[Sequence[Sample], Sequence[str]], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class _Inputs:
    """The images to measure, their classes from 0 on among `names`, and their groups, of which each is in one fold."""

    samples: list[Sample]
    classes: NDArray[np.int64]
    groups: NDArray[np.int64]
    names: tuple[str, ...]


def advise(experiment: Experiment, candidates: Sequence[Candidate], are_named: bool, on_event: OnEvent) -> Advice:
    """Return the advice for the data of `experiment`. Trains nothing, and measures training images alone.

    A candidate that is not available is an error if the user named it (`are_named`), else a line of `Advice.unmeasured`.

    Raises:
        ConfigError, DataError: a task whose images have no single class, or too few images of each.
        ModelError: a candidate is not available or does not match; all of them at once.
    """
    task = task_named(experiment.task)
    solver, targets_of = _solver(task)
    available, missing = _available(experiment, task, candidates, are_named)
    s3 = S3Settings.of(experiment.storage)
    preprocess = task.preprocess(available[0][1].model, s3)
    dataset = read_dataset(experiment.data, preprocess, on_event, s3, experiment.annotations, task, experiment.labels)
    inputs = _inputs(experiment, dataset, targets_of, on_event)
    fits, results, tables = [], [], []
    for place, (candidate, own) in enumerate(available):
        backbone = task.build(own.model, dataset.splits.classes, s3).reading(dataset.depth.depth)
        tables.append(cached_features(own, solver, backbone, inputs.samples, on_event))
        on_event(Work("measuring weights", place, len(available), "candidates"))
        results.append(measured(tables[-1], inputs.classes, inputs.groups))
        fits.append(_fit(candidate, backbone, tables[-1], results[-1]))
    on_event(Work("measuring weights", len(available), len(available), "candidates"))
    ranked, advised = _ranked(fits, results, inputs.classes)
    chosen = fits.index(advised)
    worse = {fit.candidate for fit in ranked if fit.is_worse}
    trusted = [table for fit, table in zip(fits, tables, strict=True) if fit.candidate not in worse]
    curve = probe_curve(tables[chosen], inputs.classes, on_event, groups=inputs.groups)
    plan = make_plan(available[chosen][1], on_event)
    advice = Advice(
        experiment=plan.experiment,
        classes=dataset.splits.classes,
        train=len(dataset.splits.train),
        images=len(inputs.samples),
        fits=ranked,
        advised=advised.candidate,
        recipe=plan.recipe,
        curve=curve,
        suspects=_suspects(inputs, trusted, results[chosen], len(dataset.splits.classes)),
        unmeasured=(*_unmeasured(inputs, dataset), *missing),
        domains=_domains(experiment, inputs, tables[chosen]),
        warnings=dataset.warnings,
    )
    return replace(advice, sentences=sentences(advice))


def _solver(task: Task) -> tuple[HeadSolver, Targets]:
    solver = task.head_solver
    if solver is None or solver.targets_of is None:
        raise DataError(
            f"task: advice for {task.name} is not supported yet; expected a task that gives each image one class. "
            "`raytl check` prints what the recipe chooses for it"
        )
    return solver, solver.targets_of


def _available(
    experiment: Experiment, task: Task, candidates: Sequence[Candidate], are_named: bool
) -> tuple[list[tuple[Candidate, Experiment]], list[str]]:
    """Return the candidates that can be built, each with its experiment, and a line for each other one.

    Raises:
        ModelError: one that the user named cannot be built, or none can.
    """
    available, problems = [], []
    for candidate in candidates:
        try:
            own = override(experiment, {"model.name": candidate.model, "model.weights": candidate.weights})
            task.build(own.model, ("a", "b"), S3Settings.of(own.storage))
            available.append((candidate, own))
        except RaytlError as problem:
            problems.append((candidate.text, str(problem)))
    if problems and are_named:
        raise ModelError("\n".join(f"--weights {text}: {problem}" for text, problem in problems))
    if not available:
        names = ", ".join(text for text, _ in problems)
        raise ModelError(
            f"no source weights are available ({names}): {first_line(ModelError(problems[0][1]))}. Name files with "
            "--weights MODEL=FILE"
        )
    return available, [f"{text}: its weights are not available here" for text, _ in problems]


def _inputs(experiment: Experiment, dataset: Dataset, targets_of: Targets, on_event: OnEvent) -> _Inputs:
    """Return the training images to measure.

    Raises:
        DataError: fewer than two classes have two training images.
    """
    train, names = dataset.splits.train, dataset.splits.classes
    samples = measured_sample(train, targets_of(train, names), LIMIT)
    if samples is None:
        raise DataError(
            f"{len(train)} training images: fewer than two of {len(names)} classes have two or more; expected at least two "
            "images of each class to compare answers on held-out ones. Add images"
        )
    present, classes = np.unique(targets_of(samples, names), return_inverse=True)
    return _Inputs(
        samples,
        classes,
        photo_groups(experiment, samples, dataset.depth.depth, on_event),
        tuple(names[place] for place in present),
    )


def _fit(candidate: Candidate, backbone: Backbone, features: Tensor, result: Measured) -> CandidateFit:
    return CandidateFit(
        candidate=candidate,
        digest=backbone.weights_digest,
        parameters=sum(size for name, size in backbone.sizes.items() if name != "head"),
        width=features.shape[1],
        probe=result.probe,
        neighbors=result.neighbors,
        log_evidence=result.log_evidence,
        h_score=result.h_score,
    )


def _ranked(
    fits: Sequence[CandidateFit], results: Sequence[Measured], classes: NDArray[np.int64]
) -> tuple[tuple[CandidateFit, ...], CandidateFit]:
    """Return the fits by probe accuracy, each compared with the first, and the smallest of those that are not worse."""
    order = sorted(range(len(fits)), key=lambda place: -fits[place].probe.value)
    best = results[order[0]]
    gains = [compared(classes, results[place], best) for place in order[1:]]
    ranked = [fits[order[0]]]
    for place, gain in zip(order[1:], gains, strict=True):
        ranked.append(replace(fits[place], gain=gain, is_worse=is_worse(gain, len(gains))))
    smallest = min((fit for fit in ranked if not fit.is_worse), key=lambda fit: fit.parameters)
    return tuple(ranked), next(fit for fit in fits if fit.candidate == smallest.candidate)


def _domains(experiment: Experiment, inputs: _Inputs, features: Tensor) -> tuple[GroupGap, ...]:
    """Return the accuracy on groups that a probe never saw, for each column of groups that has two with the same classes."""
    columns = group_columns(experiment.data.columns)
    values = {column: [dict(sample.columns).get(column, "") for sample in inputs.samples] for column in columns}
    gaps = [
        group_gap(features, inputs.classes, groups, column, seed=experiment.train.seed)
        for column, groups in values.items()
    ]
    return tuple(gap for gap in gaps if gap is not None)


def _suspects(inputs: _Inputs, tables: Sequence[Tensor], result: Measured, classes: int) -> tuple[SuspectLabel, ...]:
    """Return the suspects of the networks in `tables`, which are not worse than the best: together they find more."""
    if not is_trusted(result.probe.value, classes):
        return ()
    probabilities = [left_out_probabilities(table, inputs.classes, inputs.groups) for table in tables]
    listed = suspects(inputs.classes, pooled(probabilities))
    keys, names = [sample.key for sample in inputs.samples], inputs.names
    return tuple(
        SuspectLabel(keys[each.place], names[each.given], names[each.suggested], each.probability, each.margin)
        for each in listed
    )


def _unmeasured(inputs: _Inputs, dataset: Dataset) -> Iterator[str]:
    left_out = [name for name in dataset.splits.classes if name not in set(inputs.names)]
    yield from always_unmeasured(len(inputs.samples), len(dataset.splits.train), left_out)
