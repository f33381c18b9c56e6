"""Rank the labels of the training images again in each tick, by the pretrained network of the experiment file.

Not by the network of the champion: it has learned the wrong labels too, and hides them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from raytl.config.schema import Experiment
from raytl.data.bit_depth import BitDepth
from raytl.events import Message, OnEvent
from raytl.labelling.copies import photo_groups
from raytl.labelling.doubtful import doubts, spared
from raytl.labelling.reviewed import reviewed_keys
from raytl.labelling.suspect import SuspectLabel
from raytl.retraining.splits import SplitSamples
from raytl.store.s3_settings import S3Settings
from raytl.tasks.cached_features import cached_features
from raytl.tasks.registry import task_named

DOUBTFUL = "doubtful label"
"""Why an image is left out by `labels.noise: leave_out`."""


@dataclass(frozen=True)
class Ranked:
    """The samples of a tick in their splits, without those that `labels.noise` leaves out, and the doubtful labels of train."""

    splits: SplitSamples
    doubtful: tuple[SuspectLabel, ...] = ()


def ranked(experiment: Experiment, splits: SplitSamples, depth: BitDepth, on_event: OnEvent) -> Ranked:
    """Return the doubtful labels of the training images if `labels.noise` asks for them, and the samples to use."""
    method, task = experiment.labels.noise, task_named(experiment.task)
    solver = task.head_solver
    if method == "none" or solver is None or solver.targets_of is None:
        return Ranked(splits)
    train, s3 = splits.of("train"), S3Settings.of(experiment.storage)
    classes = task.classes(train)
    backbone = task.build(experiment.model, classes, s3).reading(depth)
    features = cached_features(experiment, solver, backbone, train, on_event)
    targets = np.asarray(solver.targets_of(train, classes))
    groups = photo_groups(experiment, train, depth, on_event)
    result = doubts([features], train, targets, classes, groups, experiment.train.seed, on_event)
    reviewed = reviewed_keys(experiment)
    listed = tuple(each for each in result.listed if each.key not in reviewed)
    on_event(Message(f"labels.noise: {method}: {replace(result, listed=listed).sentence}"))
    if method == "rank":
        return Ranked(splits, listed)
    return Ranked(splits.without({each.key for each in spared(listed, targets, classes)}, DOUBTFUL), listed)
