"""Build the network of a job on its device."""

from __future__ import annotations

import torch

from raytl.config.schema import Experiment
from raytl.models.backbone import Backbone
from raytl.training.job import TrainJob


def build_network(job: TrainJob, device: torch.device) -> Backbone:
    """Return the network of `job` as training starts from it, but for its head, which is new, on `device`."""
    backbone = job.task.build(job.experiment.model, job.classes, job.s3).reading(job.bit_depth)
    layout = torch.channels_last if channels_last(job.experiment, backbone) else torch.contiguous_format
    backbone.module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    return backbone


def channels_last(experiment: Experiment, backbone: Backbone) -> bool:
    """Return True if the tensors of the network and its images are in channels-last memory format."""
    configured = experiment.train.channels_last
    return backbone.convolutional if configured == "auto" else configured
