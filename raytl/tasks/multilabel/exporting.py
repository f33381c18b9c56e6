"""Export a multi-label classifier: normalized views to the calibrated probability of each label, with the features of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.models.temperature import temperature_of
from raytl.tasks.featured import Featured
from raytl.tasks.inference import Size
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.thresholds import thresholds_of
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved

_LOWEST, _HIGHEST = 1e-30, float(np.nextafter(np.float32(1), np.float32(0)))
"""Probabilities whose logits are finite."""


class LabelProbabilities(nn.Module):
    """The network of a multi-label classifier as a graph; see `MultiLabelExporting.outputs`."""

    def __init__(self, saved: Saved) -> None:
        super().__init__()
        self.featured, self._temperature = Featured(saved), temperature_of(saved.module)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probabilities `(b, labels)` and the features `(b, d)`, both float32."""
        logits, features = self.featured(views)
        return (logits.float() / self._temperature).sigmoid(), features


class MultiLabelExporting:
    """Any number of labels for each image. The thresholds are in the card of a bundle, not in its graph."""

    kind: Literal["labels"] = "labels"
    outputs: tuple[str, ...] = ("probabilities", "features")

    def graph(self, saved: Saved, limits: Limits) -> nn.Module:
        """Return the network with its temperature."""
        return LabelProbabilities(saved).eval()

    def answers(self, outputs: Sequence[Mapping[str, NDArray[Any]]], sizes: Sequence[Size], saved: Saved) -> list[Any]:
        """Return the `LabelsAnswer` of each image, with the thresholds of `saved`."""
        thresholds = thresholds_of(saved.module).cpu().numpy()
        return [LabelsAnswer(_logits(each["probabilities"][0]), thresholds) for each in outputs]

    def label_thresholds(self, saved: Saved) -> tuple[float, ...]:
        """Return the threshold of each label."""
        return tuple(thresholds_of(saved.module).tolist())


EXPORTING = MultiLabelExporting()


def _logits(probabilities: NDArray[Any]) -> NDArray[np.float32]:
    table = probabilities.astype(np.float64).clip(_LOWEST, _HIGHEST)
    return np.asarray(np.log(table) - np.log1p(-table), np.float32)
