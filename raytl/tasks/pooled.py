"""Images as a network sees them: the maps of the last stage of its backbone, averaged over the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raytl.data.cache import source_images
from raytl.data.loader import EvalLoader
from raytl.data.manifest import Sample
from raytl.data.target_text import class_counts
from raytl.events import OnEvent, Work
from raytl.models.forward import EVAL_BATCH, pick_device
from raytl.store.s3_settings import S3Settings
from raytl.tasks.features import FeatureTable, in_half
from raytl.tasks.inference import Network
from raytl.tasks.saved import load_saved
from raytl.tasks.watched import FeatureWatch
from raytl.world import World

Impression = Callable[[Any, Sequence[str]], tuple[str, float]]
"""Return the class that an answer says most of, and how sure the model is of it; `nothing` and 0 without any."""


def pooled_features(
    model_folder: Path,
    samples: Sequence[Sample],
    device: str,
    max_pixels: int,
    on_event: OnEvent,
    s3: S3Settings,
    impression: Impression,
) -> FeatureTable:
    """Return the samples as the saved model in `model_folder` sees them.

    Raises:
        ModelError: the network has neither maps nor a linear layer at its end.
    """
    saved, at = load_saved(model_folder), pick_device(device)
    preprocess, watch = saved.card.preprocess, FeatureWatch(saved)
    network = Network(saved.task, saved.module.to(at), preprocess, at, torch.float32)
    images = source_images(samples, preprocess, max_pixels, s3)
    loader = EvalLoader(images, preprocess, batch=EVAL_BATCH[at.type], world=World.solo())
    rows: list[tuple[str, float]] = []
    features: list[Tensor] = []
    size = (preprocess.view_size[1], preprocess.view_size[0])
    with closing(loader):
        for batch in loader:
            answers = network.answers(batch.images, [size] * len(batch.ids))
            rows += [impression(answer, saved.card.classes) for answer in answers]
            features.append(watch.features().cpu())
    on_event(Work("features of new images", len(samples), len(samples)))
    return FeatureTable(
        features=in_half(np.asarray(torch.cat(features))),
        labels=np.array([_group(sample) for sample in samples]),
        predicted=np.array([name for name, _ in rows]),
        confidence=np.array([sure for _, sure in rows], dtype=np.float64),
    )


def _group(sample: Sample) -> str:
    """Return the most frequent class of the image."""
    return next((name for name, _ in class_counts(sample.target).most_common(1)), "nothing")
