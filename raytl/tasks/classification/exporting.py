"""Export a classifier: normalized views to calibrated probabilities, with the features of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.models.temperature import temperature_of
from raytl.tasks.featured import Featured
from raytl.tasks.inference import Size
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved

_LEAST = np.finfo(np.float32).tiny


class ClassProbabilities(nn.Module):
    """The network of a classifier as a graph; see `ClassificationExporting.outputs`."""

    def __init__(self, saved: Saved) -> None:
        super().__init__()
        self.featured, self._temperature = Featured(saved), temperature_of(saved.module)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probabilities `(b, classes)` and the features `(b, d)`, both float32."""
        logits, features = self.featured(views)
        return (logits.float() / self._temperature).softmax(dim=1), features


class ClassificationExporting:
    """One class for each image."""

    kind: Literal["classes"] = "classes"
    outputs: tuple[str, ...] = ("probabilities", "features")

    def graph(self, saved: Saved, limits: Limits) -> nn.Module:
        """Return the network with its temperature."""
        return ClassProbabilities(saved).eval()

    def answers(self, outputs: Sequence[Mapping[str, NDArray[Any]]], sizes: Sequence[Size], saved: Saved) -> list[Any]:
        """Return the logits `(classes,) float32` of each image: the logarithms of its probabilities."""
        return [np.log(np.maximum(each["probabilities"][0], _LEAST)).astype(np.float32) for each in outputs]

    def label_thresholds(self, saved: Saved) -> tuple[float, ...]:
        """Return none: the most probable class is the answer."""
        return ()


EXPORTING = ClassificationExporting()
