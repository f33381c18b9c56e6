"""The network of multi-label classification: the classifier's own head with one output and one threshold a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from raytl.config.schema import ModelConfig
from raytl.data.transforms import Preprocess
from raytl.models import backbone as backbones
from raytl.models.backbone import Backbone
from raytl.models.probe import head_layer
from raytl.store.s3_settings import S3Settings
from raytl.tasks.multilabel.loss import prior_logits
from raytl.tasks.multilabel.targets import Vectors
from raytl.tasks.multilabel.thresholds import add_thresholds


def build(config: ModelConfig, labels: Sequence[str], s3: S3Settings) -> Backbone:
    """Return the network with a new head."""
    backbone = backbones.build(config, len(labels), s3)
    add_thresholds(backbone, len(labels))
    return replace(backbone, preprocess=whole_image(config, backbone.preprocess))


def whole_image(config: ModelConfig, preprocess: Preprocess) -> Preprocess:
    """Return the preprocessing with the whole image resized to a square, as in Ridnik et al. 2021: a center crop would cut off
    what a label says is present. A `crop_fraction` in `config` keeps the crop."""
    if config.preprocess.crop_fraction is not None:
        return preprocess
    return replace(preprocess, crop_mode="squash", resize_px=preprocess.image_px)


@torch.no_grad()
def start_at_prior(backbone: Backbone, vectors: Vectors) -> None:
    """Set the weights of a new head to zero and its biases to the log-odds of the labels `vectors (n, labels)`.

    The first predictions are then the frequencies of the labels, and rare labels do not dominate the first steps (Lin et
    al. 2017, section 3.3).
    """
    layer = head_layer(backbone)
    layer.weight.zero_()
    if layer.bias is not None:
        layer.bias.copy_(prior_logits(vectors))
