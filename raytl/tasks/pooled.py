"""Images as a network sees them: the maps of the last stage of its backbone, averaged over the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.data.cache import source_images
from raytl.data.loader import EvalLoader
from raytl.data.manifest import Sample
from raytl.data.target_text import class_counts
from raytl.events import OnEvent, Work
from raytl.models.forward import EVAL_BATCH, pick_device
from raytl.models.probe import head_layer
from raytl.store.s3_settings import S3Settings
from raytl.tasks.features import FeatureTable
from raytl.tasks.inference import Network
from raytl.tasks.saved import Saved, load_saved
from raytl.world import World

Impression = Callable[[Any, Sequence[str]], tuple[str, float]]
"""Return the class that an answer says most of, and how sure the model is of it; `nothing` and 0 without any."""


def pooled_features(
    bundle: Path,
    samples: Sequence[Sample],
    device: str,
    max_pixels: int,
    on_event: OnEvent,
    s3: S3Settings,
    impression: Impression,
) -> FeatureTable:
    """Return the samples as the saved model in `bundle` sees them.

    Raises:
        ModelError: the network has neither maps nor a linear layer at its end.
    """
    saved, at = load_saved(bundle), pick_device(device)
    preprocess, caught = saved.card.preprocess, _Caught()
    network = Network(saved.task, saved.module.to(at), preprocess, at, torch.float32)
    images = source_images(samples, preprocess, max_pixels, s3)
    loader = EvalLoader(images, preprocess, batch=EVAL_BATCH[at.type], world=World.solo())
    rows: list[tuple[str, float]] = []
    size = (preprocess.view_size[1], preprocess.view_size[0])
    _watch(saved, caught)
    with closing(loader):
        for batch in loader:
            answers = network.answers(batch.images, [size] * len(batch.ids))
            rows += [impression(answer, saved.card.classes) for answer in answers]
    on_event(Work("features of new images", len(samples), len(samples)))
    return FeatureTable(
        features=caught.features(),
        labels=np.array([_group(sample) for sample in samples]),
        predicted=np.array([name for name, _ in rows]),
        confidence=np.array([sure for _, sure in rows], dtype=np.float64),
    )


class _Caught:
    """Maps `(b, channels, h, w)` averaged over the image, or vectors `(b, channels)`."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def add(self, maps: Tensor) -> None:
        """Keep those of a batch."""
        self._parts.append(maps.detach().float().flatten(2).mean(2).cpu() if maps.ndim > 2 else maps.float().cpu())

    def features(self) -> NDArray[np.float32]:
        """Return the features of all images, `(n, d)`."""
        return np.asarray(torch.cat(self._parts))


def _watch(saved: Saved, caught: _Caught) -> None:
    """Catch the last map of the backbone, or without maps, the inputs of the last layer of the head."""
    if isinstance(maps := getattr(saved.module, "pyramid", None), nn.Module):
        maps.register_forward_hook(lambda module, inputs, outputs: caught.add(outputs[-1]))
    else:
        head_layer(saved.backbone).register_forward_pre_hook(lambda module, inputs: caught.add(inputs[0]))


def _group(sample: Sample) -> str:
    """Return the most frequent class of the image."""
    return next((name for name, _ in class_counts(sample.target).most_common(1)), "nothing")
