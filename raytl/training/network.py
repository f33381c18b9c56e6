"""Build the network of a job on its device."""

from __future__ import annotations

from pathlib import Path

import torch

from raytl.config.schema import Experiment
from raytl.models.backbone import Backbone
from raytl.models.card import Card, read_card
from raytl.run.folder import RunFolder
from raytl.training.job import TrainJob


def build_network(job: TrainJob, device: torch.device) -> Backbone:
    """Return the network of `job` as training starts from it, but for its head, which is new, on `device`: that of its warm-up,
    or of `model.weights`."""
    model = job.experiment.model
    model = model.model_copy(update={"weights": job.warmed}) if job.warmed else model
    backbone = job.task.build(model, job.classes, job.s3).reading(job.bit_depth)
    layout = torch.channels_last if channels_last(job.experiment, backbone) else torch.contiguous_format
    backbone.module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    return backbone


def card_of(job: TrainJob, backbone: Backbone) -> Card:
    """Return the card of the saved models of `job`; it names `model.weights`, also where training starts from their warm-up."""
    model = job.experiment.model
    origin = read_card(RunFolder(Path(job.warmed)).best) if job.warmed else backbone
    return Card(
        model=backbone.name,
        classes=job.classes,
        preprocess=backbone.preprocess,
        weights_digest=origin.weights_digest,
        task=job.task.name,
        head=model.head,
        neck_channels=model.neck.channels,
        pruned=backbone.pruned,
    )


def channels_last(experiment: Experiment, backbone: Backbone) -> bool:
    """Return True if the tensors of the network and its images are in channels-last memory format."""
    configured = experiment.train.channels_last
    return backbone.convolutional if configured == "auto" else configured
