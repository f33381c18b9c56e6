"""The objective of a job's steps, from its experiment."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from raytl.config.auxiliary_rules import ELR, SMALL_LOSS
from raytl.config.fixmatch import FIXMATCH
from raytl.data.column_values import NO_VALUE
from raytl.data.sources import TARGET, UNLABELLED
from raytl.models.backbone import Backbone
from raytl.models.probe import head_layer
from raytl.tasks.task import Objective
from raytl.training.job import TrainJob
from raytl.training.objectives.adversarial import Adversary
from raytl.training.objectives.auxiliary import AUXILIARY
from raytl.training.objectives.domain import Discrepancy, coral, mmd
from raytl.training.objectives.drawn import drawn_fraction, labelled_images
from raytl.training.objectives.elr import EarlyLearning
from raytl.training.objectives.fixmatch import FixMatch
from raytl.training.objectives.job_heads import auxiliary_of, scores_of, turns_of
from raytl.training.objectives.joint import FeatureTap, Joint, Term
from raytl.training.objectives.objective import StepObjective
from raytl.training.objectives.prepared import Prepared
from raytl.training.objectives.rotation import TURNED
from raytl.training.objectives.small_loss import Selection, SmallLoss
from raytl.training.objectives.supervised import Supervised
from raytl.training.step_sources import counts

ADVERSARIAL = "dann"
_OF_ANSWERS = {FIXMATCH, ELR, SMALL_LOSS}
"""Terms that need no features of the network."""
_DISTANCES = {"coral": coral, "mmd": mmd}


def step_objective(job: TrainJob, backbone: Backbone, labels: Objective, device: torch.device) -> StepObjective:
    """Return the loss `labels` with the terms of the experiment's methods; alone if it has none.

    Raises:
        ModelError: a method needs features of the network, and its head has no linear layer.
    """
    terms = _terms(job, backbone, device)
    if job.experiment.train.loss != SMALL_LOSS:
        return _with_auxiliary(job, backbone, labels, terms, device)
    terms[SMALL_LOSS] = small = _small_loss(job, device)
    return Prepared(_with_auxiliary(job, backbone, small.labels(labels), terms, device), small.begin, small.records)


def _with_auxiliary(
    job: TrainJob, backbone: Backbone, labels: Objective, terms: dict[str, Term], device: torch.device
) -> StepObjective:
    """Return the loss `labels` with the terms, and the auxiliary heads of the experiment."""
    auxiliary = auxiliary_of(job, backbone, device)
    if auxiliary is None:
        tap = FeatureTap(backbone) if terms.keys() - _OF_ANSWERS else None
        return Joint.of(labels, terms, tap) if terms else Supervised(labels)
    tap = FeatureTap(backbone)
    terms[AUXILIARY] = auxiliary
    joint = Joint.of(auxiliary.labels(labels), terms, tap, scores_of(job, auxiliary, tap))
    return Prepared(joint, turns_of(job).beside) if TURNED in auxiliary.views else joint


def _terms(job: TrainJob, backbone: Backbone, device: torch.device) -> dict[str, Term]:
    experiment, images = job.experiment, counts(job.experiment, len(job.train))
    few, adapt, train, terms = experiment.few, experiment.adapt, experiment.train, dict[str, Term]()
    if few.method == FIXMATCH:
        settings = few.fixmatch
        count, classes = images[UNLABELLED], len(job.classes)
        terms[FIXMATCH] = FixMatch(classes, count, settings.threshold, settings.weight, device)
    if adapt.method == ADVERSARIAL:
        width, count = head_layer(backbone).weight.shape[1], images[TARGET]
        terms[ADVERSARIAL] = Adversary(width, count, adapt.weight, train.seed, device)
    elif adapt.method in _DISTANCES:
        terms[adapt.method] = Discrepancy(_DISTANCES[adapt.method], adapt.weight)
    if train.loss == ELR:
        labelled, classes = labelled_images(job), len(job.classes)
        terms[ELR] = EarlyLearning(labelled, classes, train.elr_weight, train.elr_momentum, device)
    return terms


def _small_loss(job: TrainJob, device: torch.device) -> SmallLoss:
    train, solver = job.experiment.train, job.task.head_solver
    assert solver is not None and solver.targets_of is not None, "`Task.check` rejects small_loss"
    classes = np.full(
        labelled_images(job), NO_VALUE, np.int64
    )  # made images were given the label from which they were made
    classes[: len(job.train)] = solver.targets_of(job.train, job.classes)
    selection = Selection(train.small_loss_keep, train.small_loss_ramp)
    return SmallLoss(selection, classes, partial(drawn_fraction, job), device)
