"""Export a detector: a normalized view to the objects in it, with the suppression inside the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.models.predict_score import predict_score_of
from raytl.tasks import dense
from raytl.tasks.detection.answer import Detections
from raytl.tasks.featured import Featured
from raytl.tasks.inference import Size
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved


class ViewObjects(nn.Module):
    """The network of a detector as a graph of one view; see `DetectionExporting.outputs`."""

    def __init__(self, saved: Saved, limits: Limits) -> None:
        super().__init__()
        self.featured, self._limits = Featured(saved), limits

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the boxes `(n, 4)` in pixels of the view, the labels `(n,) int64`, the scores `(n,)`, and the features `(1, d)`."""
        raw, features = self.featured(views)
        (objects,) = raw.decode(self._limits)
        return objects.boxes, objects.labels, objects.scores, features


class DetectionExporting:
    """Boxes. The number of objects varies, so a graph takes one view at a time."""

    kind: Literal["objects"] = "objects"
    outputs: tuple[str, ...] = ("boxes", "labels", "scores", "features")

    def graph(self, saved: Saved, limits: Limits) -> nn.Module:
        """Return the network with its suppression; `limits` are those of the objects that it returns."""
        return ViewObjects(saved, limits).eval()

    def answers(self, outputs: Sequence[Mapping[str, NDArray[Any]]], sizes: Sequence[Size], saved: Saved) -> list[Any]:
        """Return the `Detections` of each image."""
        score = predict_score_of(saved.module)
        return [
            Detections(
                dense.boxes_in_photo(each["boxes"].astype(np.float32), size, saved.card.preprocess),
                each["scores"].astype(np.float32),
                each["labels"].astype(np.int64),
                predict_score=score,
            )
            for each, size in zip(outputs, sizes, strict=True)
        ]

    def label_thresholds(self, saved: Saved) -> tuple[float, ...]:
        """Return none: objects have one score, `raytl.models.predict_score`."""
        return ()


EXPORTING = DetectionExporting()
