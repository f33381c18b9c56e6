"""Images as a classifier sees them: the inputs of its last layer and its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from raytl.data.cache import source_images
from raytl.data.loader import EvalLoader
from raytl.data.manifest import Sample
from raytl.events import OnEvent, Work
from raytl.metrics.scores import softmax
from raytl.models.forward import EVAL_BATCH, pick_device
from raytl.models.probe import head_inputs, head_layer
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.tasks.features import FeatureTable, in_half
from raytl.tasks.saved import load_saved
from raytl.world import World


def extract(
    model_folder: Path,
    samples: Sequence[Sample],
    device: str,
    max_pixels: int,
    on_event: OnEvent,
    s3: S3Settings = ENVIRONMENT,
) -> FeatureTable:
    """Return the samples as the model in `model_folder` sees them.

    Raises:
        ModelError: the head is not linear in the inputs of its last layer.
    """
    saved, at = load_saved(model_folder), pick_device(device)
    card, backbone = saved.card, saved.backbone
    backbone.module.to(at)
    images = source_images(samples, card.preprocess, max_pixels, s3)
    loader = EvalLoader(images, card.preprocess, batch=EVAL_BATCH[at.type], world=World.solo())
    with closing(loader):
        inputs = head_inputs(backbone, loader, at, torch.float32)
    on_event(Work("features of new images", len(samples), len(samples)))
    layer = head_layer(backbone)
    with torch.no_grad():
        logits = inputs @ layer.weight.cpu().flatten(1).T + (0 if layer.bias is None else layer.bias.cpu())
    probabilities = softmax(logits.numpy() / (card.temperature or 1.0))
    return FeatureTable(
        features=in_half(inputs.numpy()),
        labels=np.array([sample.label for sample in samples]),
        predicted=np.array(card.classes)[probabilities.argmax(1)],
        confidence=probabilities.max(1),
    )
