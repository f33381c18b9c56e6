"""`raytl labels`: rank the doubtful labels of training and validation, by the networks that the user names. Trains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raytl.advice.candidates import Candidate, named_candidates
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.data.sample_table import SampleTable
from raytl.errors import DataError
from raytl.events import OnEvent, Work, ignore
from raytl.labelling import sheet
from raytl.labelling.copies import photo_groups
from raytl.labelling.doubtful import Doubts, doubts
from raytl.labelling.reviewed import reviewed_keys
from raytl.labelling.suspect import SuspectLabel
from raytl.registry.reference import is_reference
from raytl.run.atomic import write_text
from raytl.sanitize import command
from raytl.store.s3_settings import S3Settings
from raytl.tasks.cached_features import cached_features
from raytl.tasks.defaults import completed
from raytl.tasks.detect import with_task
from raytl.tasks.registry import task_named
from raytl.tasks.task import HeadSolver
from raytl.training.dataset import Dataset, read_dataset


@dataclass(frozen=True)
class DoubtfulLabels:
    """The doubtful labels of training and validation images, the most doubtful first, in the `table` (CSV) and on the `page`.

    `images` counts those that were judged, by split. `accuracy` is the balanced accuracy of the classifier on images that it
    did not learn; if it is not `trusted`, nothing is listed or written. `networks` are those whose features were used, and
    `reviewed` images have a correction already, and are not listed again.
    """

    uri: str
    listed: tuple[SuspectLabel, ...]
    images: dict[str, int]
    accuracy: float
    trusted: bool
    sentence: str
    networks: tuple[str, ...]
    reviewed: int
    table: str = ""
    page: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Read:
    """The data, and the features of train and val of each network."""

    dataset: Dataset
    train: list[Tensor]
    val: list[Tensor]


def doubtful_labels(
    experiment: Experiment,
    weights: Sequence[str] = (),
    out: Path | None = None,
    words: Sequence[str] = ("experiment.yaml",),
    on_event: OnEvent = ignore,
) -> DoubtfulLabels:
    """Return the doubtful labels of the data of `experiment`, and write them to the folder `out`.

    `weights` name further networks, as `raytl advise --weights` does. `words` name the experiment on a command line.

    Raises:
        DataError: a task whose images have no single class; the data is wrong; `out` is a file, or its table has labels.
        ModelError: a network is not available.
    """
    if out is not None:
        sheet.check_folder(out)
        sheet.check_replaceable(out / sheet.TABLE)
    experiment = completed(with_task(experiment, on_event))
    task, s3 = task_named(experiment.task), S3Settings.of(experiment.storage)
    if task.head_solver is None or task.head_solver.targets_of is None:
        raise DataError(
            f"task: labels of {task.name} are not ranked; expected a task that gives each image one class. `raytl report` lists "
            "suspect annotations of other tasks"
        )
    model = experiment.model
    own = Candidate(model.name if model.weights == "pretrained" else model.weights, model.name, model.weights)
    networks = tuple(dict.fromkeys((own, *named_candidates(weights, None, s3))))
    read = _read(experiment, task.head_solver, networks, on_event)
    result = _ranked(experiment, task.head_solver, read, [each.label for each in networks], on_event)
    result = replace(result, notes=(*result.notes, *_notes(networks)))
    return result if out is None or not result.trusted else _written(experiment, read.dataset, result, out, words)


def _read(experiment: Experiment, solver: HeadSolver, networks: Sequence[Candidate], on_event: OnEvent) -> _Read:
    task, s3 = task_named(experiment.task), S3Settings.of(experiment.storage)
    preprocess = task.preprocess(experiment.model, s3)
    dataset = read_dataset(experiment.data, preprocess, on_event, s3, experiment.annotations, task, experiment.labels)
    read = _Read(dataset, [], [])
    for place, each in enumerate(networks):
        on_event(Work("reading features", place, len(networks), "networks"))
        named = override(experiment, {"model.name": each.model, "model.weights": each.weights})
        backbone = task.build(named.model, dataset.splits.classes, s3).reading(dataset.depth.depth)
        read.train.append(cached_features(named, solver, backbone, dataset.splits.train, on_event))
        read.val.append(cached_features(named, solver, backbone, dataset.splits.val, on_event))
    on_event(Work("reading features", len(networks), len(networks), "networks"))
    return read


def _ranked(
    experiment: Experiment, solver: HeadSolver, read: _Read, networks: Sequence[str], on_event: OnEvent
) -> DoubtfulLabels:
    """Rank train by train alone, as `labels.noise` does, and val by both."""
    splits, seed = read.dataset.splits, experiment.train.seed
    train, both = splits.train, SampleTable.of([*splits.train, *splits.val])
    assert solver.targets_of is not None, "checked"
    targets = np.asarray(solver.targets_of(both, splits.classes))
    groups = photo_groups(experiment, both, read.dataset.depth.depth, on_event)
    count = len(train)
    of_train = doubts(read.train, train, targets[:count], splits.classes, groups[:count], seed, on_event)
    tables = [torch.cat(pair) for pair in zip(read.train, read.val, strict=True)]
    of_both = doubts(tables, both, targets, splits.classes, groups, seed, on_event)
    reviewed = reviewed_keys(experiment)
    every = [*of_train.listed, *(each for each in of_both.listed if each.split == "val")]
    listed = tuple(sorted((each for each in every if each.key not in reviewed), key=lambda each: each.probability))
    whole = Doubts(listed, len(both), of_train.accuracy, of_train.trusted, of_train.unjudged)
    notes = [f"classes with too few images to judge: {', '.join(whole.unjudged[:5])}"] if whole.unjudged else []
    if of_train.passed_over:
        idle = ", ".join(networks[place] for place in of_train.passed_over)
        notes.append(f"not used, as a classifier of the features is wrong too often: {idle}")
    return DoubtfulLabels(
        uri=experiment.data.uri,
        listed=listed if whole.trusted else (),
        images={"train": count, "val": len(splits.val)},
        accuracy=whole.accuracy,
        trusted=whole.trusted,
        sentence=whole.sentence,
        networks=tuple(name for place, name in enumerate(networks) if place not in of_train.passed_over),
        reviewed=len(reviewed),
        notes=tuple(notes),
    )


def _notes(networks: Sequence[Candidate]) -> tuple[str, ...]:
    tuned = [each.label for each in networks if is_reference(each.weights) or Path(each.weights).is_dir()]
    if not tuned:
        return ()
    return (
        f"{', '.join(tuned)}: a network that was fine-tuned on these labels has learned the wrong ones too, and hides them; "
        "prefer pretrained weights",
    )


def _written(
    experiment: Experiment, dataset: Dataset, result: DoubtfulLabels, out: Path, words: Sequence[str]
) -> DoubtfulLabels:
    """Write the table, unless it is there with labels that would be lost, and the page."""
    table, page = out / sheet.TABLE, out / sheet.PAGE
    sheet.check_replaceable(table)
    out.mkdir(parents=True, exist_ok=True)
    splits = dataset.splits
    paths = {sample.key: sample.path for split in (splits.train, splits.val) for sample in split}
    write_text(table, sheet.table(result.listed))
    sheet.write_page(
        page,
        result.uri,
        result.sentence,
        result.listed,
        paths,
        dataset.depth.depth,
        experiment.data.max_pixels,
        S3Settings.of(experiment.storage),
        command("raytl", "labels", *words, "--apply", str(table)),
    )
    return replace(result, table=str(table), page=str(page))
