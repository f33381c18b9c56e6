"""The auxiliary heads of a job, from its experiment and the cells of its images."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.config.auxiliary import ROTATION, UNCERTAINTY
from raytl.data.column_values import NO_VALUE, ColumnValues
from raytl.models.backbone import Backbone
from raytl.models.probe import head_layer
from raytl.training.job import TrainJob
from raytl.training.objectives.auxiliary import Auxiliary, Head
from raytl.training.objectives.drawn import drawn_fraction, labelled_images
from raytl.training.objectives.head_scores import HeadScores, HeadTruth
from raytl.training.objectives.joint import FeatureTap
from raytl.training.objectives.rotation import TURNED, TURNS, Turns


def turns_of(job: TrainJob) -> Turns:
    """Return the turns of the job's training images."""
    return Turns(labelled_images(job), job.experiment.train.seed)


def auxiliary_of(job: TrainJob, backbone: Backbone, device: torch.device) -> Auxiliary | None:
    """Return the term of the job's auxiliary heads; None without any.

    Raises:
        ModelError: the head of the network has no linear layer.
    """
    heads = [*_column_heads(job), *_rotation_head(job)]
    learned = job.experiment.auxiliary.weight == UNCERTAINTY
    return Auxiliary(head_layer(backbone).weight.shape[1], heads, learned, device) if heads else None


def scores_of(job: TrainJob, term: Auxiliary, tap: FeatureTap) -> HeadScores:
    """Return what scores the heads on the job's validation images."""
    turns = Turns(len(job.val), job.experiment.train.seed)
    truths = [HeadTruth(each.classes(job.val), _usual(each.classes(job.train))) for each in _columns(job)]
    if TURNED in term.views:
        given = turns.of(torch.arange(len(job.val)), 0)
        truths.append(HeadTruth(given, None))
    return HeadScores(term, truths, tap, turns)


def _columns(job: TrainJob) -> list[ColumnValues]:
    """Return the columns that are learned. One of which a fold, or what a label method leaves, has a single value is not."""
    auxiliary = job.experiment.auxiliary
    if auxiliary.weight == 0:
        return []
    columns = (ColumnValues.of(name, job.train) for name in auxiliary.columns)
    return [column for column in columns if len(column.values) > 1]


def _column_heads(job: TrainJob) -> Iterator[Head]:
    weight, images = job.experiment.auxiliary.weight, labelled_images(job)
    for column in _columns(job):
        classes = np.full(images, NO_VALUE, np.int64)
        classes[: len(job.train)] = column.classes(job.train)
        fraction = drawn_fraction(job, classes != NO_VALUE)
        start = 1.0 if isinstance(weight, str) else weight
        yield Head(column.name, len(column.values), _lookup(classes), start, fraction=fraction)


def _rotation_head(job: TrainJob) -> Iterator[Head]:
    weight = job.experiment.auxiliary.rotation
    if weight:
        yield Head(ROTATION, TURNS, turns_of(job).of, weight, TURNED)


def _lookup(classes: NDArray[np.int64]) -> Callable[[Tensor, int], NDArray[np.int64]]:
    """Return the function from ids to their classes, the same in each epoch."""
    return lambda ids, _: classes[ids.numpy()]


def _usual(classes: NDArray[np.int64]) -> int:
    return int(np.bincount(classes[classes != NO_VALUE]).argmax())
