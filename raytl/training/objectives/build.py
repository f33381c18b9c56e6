"""The objective of a job's steps, from its experiment."""

from __future__ import annotations

import torch

from raytl.config.auxiliary_rules import ELR
from raytl.config.fixmatch import FIXMATCH
from raytl.data.sources import TARGET, UNLABELLED
from raytl.models.backbone import Backbone
from raytl.models.probe import head_layer
from raytl.tasks.task import Objective
from raytl.training.job import TrainJob
from raytl.training.objectives.adversarial import Adversary
from raytl.training.objectives.auxiliary import AUXILIARY
from raytl.training.objectives.domain import Discrepancy, coral, mmd
from raytl.training.objectives.elr import EarlyLearning
from raytl.training.objectives.fixmatch import FixMatch
from raytl.training.objectives.job_heads import auxiliary_of, labelled_images, scores_of, turns_of
from raytl.training.objectives.joint import FeatureTap, Joint, Term
from raytl.training.objectives.objective import StepObjective
from raytl.training.objectives.rotation import TURNED, WithTurns
from raytl.training.objectives.supervised import Supervised
from raytl.training.step_sources import counts

ADVERSARIAL = "dann"
_OF_ANSWERS = {FIXMATCH, ELR}
"""Terms that need no features of the network."""
_DISTANCES = {"coral": coral, "mmd": mmd}


def step_objective(job: TrainJob, backbone: Backbone, labels: Objective, device: torch.device) -> StepObjective:
    """Return the loss `labels` with the terms of the experiment's methods; alone if it has none.

    Raises:
        ModelError: a method needs features of the network, and its head has no linear layer.
    """
    terms, auxiliary = _terms(job, backbone, device), auxiliary_of(job, backbone, device)
    if auxiliary is None:
        tap = FeatureTap(backbone) if terms.keys() - _OF_ANSWERS else None
        return Joint.of(labels, terms, tap) if terms else Supervised(labels)
    tap = FeatureTap(backbone)
    terms[AUXILIARY] = auxiliary
    joint = Joint.of(auxiliary.labels(labels), terms, tap, scores_of(job, auxiliary, tap))
    return WithTurns(joint, turns_of(job)) if TURNED in auxiliary.views else joint


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
