"""The objective of a job's steps, from its experiment."""

from __future__ import annotations

import torch

from raytl.config.fixmatch import FIXMATCH
from raytl.data.sources import TARGET, UNLABELLED
from raytl.models.backbone import Backbone
from raytl.models.probe import head_layer
from raytl.tasks.task import Objective
from raytl.training.job import TrainJob
from raytl.training.objectives.adversarial import Adversary
from raytl.training.objectives.domain import Discrepancy, coral, mmd
from raytl.training.objectives.fixmatch import FixMatch
from raytl.training.objectives.joint import FeatureTap, Joint, Term
from raytl.training.objectives.objective import StepObjective
from raytl.training.objectives.supervised import Supervised
from raytl.training.step_sources import counts

ADVERSARIAL = "dann"
_DISTANCES = {"coral": coral, "mmd": mmd}


def step_objective(job: TrainJob, backbone: Backbone, labels: Objective, device: torch.device) -> StepObjective:
    """Return the loss `labels` with the terms of the experiment's methods; alone if it has none.

    Raises:
        ModelError: a method needs features of the network, and its head has no linear layer.
    """
    terms = _terms(job, backbone, device)
    return Joint.of(labels, terms, FeatureTap(backbone)) if terms else Supervised(labels)


def _terms(job: TrainJob, backbone: Backbone, device: torch.device) -> dict[str, Term]:
    experiment, images = job.experiment, counts(job.experiment, len(job.train))
    few, adapt, terms = experiment.few, experiment.adapt, dict[str, Term]()
    if few.method == FIXMATCH:
        settings = few.fixmatch
        count, classes = images[UNLABELLED], len(job.classes)
        terms[FIXMATCH] = FixMatch(classes, count, settings.threshold, settings.weight, device)
    if adapt.method == ADVERSARIAL:
        width, count = head_layer(backbone).weight.shape[1], images[TARGET]
        terms[ADVERSARIAL] = Adversary(width, count, adapt.weight, experiment.train.seed, device)
    elif adapt.method in _DISTANCES:
        terms[adapt.method] = Discrepancy(_DISTANCES[adapt.method], adapt.weight)
    return terms
