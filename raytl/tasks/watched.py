"""The pooled features of the images that a network answers, from the same forward pass."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raytl.errors import ModelError
from raytl.models.probe import head_layer, pooled_inputs
from raytl.tasks.inference import BatchFeatures
from raytl.tasks.saved import Saved

_LIMIT = 65504.0
"""The largest finite float16."""


class FeatureWatch:
    """The features of the last batch that this thread passed through the network of `saved`: the inputs of the last layer of
    its head, or of a dense network its last map, averaged over the image.

    Every thread that computes batches has its own.

    Raises:
        ModelError: the network has neither maps nor a linear layer at its end.
    """

    def __init__(self, saved: Saved) -> None:
        self._last = threading.local()
        if isinstance(maps := getattr(saved.module, "pyramid", None), nn.Module):
            maps.register_forward_hook(lambda module, inputs, outputs: self._keep(_pooled_map(outputs[-1])))
        else:
            layer = head_layer(saved.backbone)
            layer.register_forward_pre_hook(lambda module, inputs: self._keep(pooled_inputs(layer, inputs[0])))

    def _keep(self, features: Tensor) -> None:
        self._last.features = features

    def features(self) -> Tensor:
        """Return those of the last batch of this thread, `(b, d) float32`."""
        features: Tensor = self._last.features
        return features


def _pooled_map(maps: Any) -> Tensor:
    values: Tensor = maps.detach().float()
    return values.flatten(2).mean(2) if values.ndim > 2 else values


def batch_features(saved: Saved) -> BatchFeatures:
    """Return what returns the features of a batch of `saved` as `(b, d) float16`, clipped to its range; d = 0 if its head has none."""
    try:
        watch = FeatureWatch(saved)
    except ModelError:
        return lambda count: np.zeros((count, 0), np.float16)
    return lambda count: watch.features().clamp(-_LIMIT, _LIMIT).to(torch.float16).cpu().numpy()
