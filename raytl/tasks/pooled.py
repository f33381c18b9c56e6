"""Images as the backbone of a dense network sees them: the maps of its last stage, averaged over the image."""

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
from raytl.errors import ModelError
from raytl.events import OnEvent, Work
from raytl.models.forward import EVAL_BATCH, pick_device
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
        ModelError: the network has no maps to average.
    """
    saved, at = load_saved(bundle), pick_device(device)
    preprocess, caught = saved.card.preprocess, _Caught()
    network = Network(saved.task, saved.module.to(at), preprocess, at, torch.float32)
    images = source_images(samples, preprocess, max_pixels, s3)
    loader = EvalLoader(images, preprocess, batch=EVAL_BATCH[at.type], world=World.solo())
    rows: list[tuple[str, float]] = []
    size = (preprocess.view_size[1], preprocess.view_size[0])
    hook = _last_stage(saved).register_forward_hook(caught)
    with closing(loader):
        for batch in loader:
            answers = network.answers(batch.images, [size] * len(batch.ids))
            rows += [impression(answer, saved.card.classes) for answer in answers]
    hook.remove()
    on_event(Work("features of new images", len(samples), len(samples)))
    return FeatureTable(
        features=caught.features(),
        labels=np.array([_group(sample) for sample in samples]),
        predicted=np.array([name for name, _ in rows]),
        confidence=np.array([sure for _, sure in rows], dtype=np.float64),
    )


class _Caught:
    """The outputs of a module, averaged over the image."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def __call__(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        maps = list(output.values())[-1] if isinstance(output, dict) else output
        maps = maps[-1] if isinstance(maps, list | tuple) else maps
        if not isinstance(maps, Tensor) or maps.ndim != 4:
            raise ModelError("the backbone has no maps (batch, channels, height, width) to average; drift is not measured")
        self._parts.append(maps.detach().float().mean(dim=(2, 3)).cpu())

    def features(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the features of all images, `(n, d)`."""
        return torch.cat(self._parts).numpy()


def _last_stage(saved: Saved) -> torch.nn.Module:
    """Return the module of the backbone, whose last output is that of its last stage."""
    for name in ("body", "backbone", "features"):
        if isinstance(module := getattr(saved.module, name, None), torch.nn.Module):
            return module
    raise ModelError(f"{saved.card.model}: the network has no backbone of its own; drift is not measured")


def _group(sample: Sample) -> str:
    """Return the most frequent class of the image."""
    return next((name for name, _ in class_counts(sample.target).most_common(1)), "nothing")
