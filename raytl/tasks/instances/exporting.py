"""Export an instance segmenter: a normalized view to the objects in it, each with the mask of its box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.models.predict_score import predict_score_of
from raytl.tasks import dense
from raytl.tasks.featured import Featured
from raytl.tasks.inference import Size
from raytl.tasks.instances.answer import Segments
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved


class ViewInstances(nn.Module):
    """The network of an instance segmenter as a graph of one view; see `InstancesExporting.outputs`."""

    def __init__(self, saved: Saved, limits: Limits) -> None:
        super().__init__()
        self.featured, self._limits = Featured(saved), limits

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the boxes `(n, 4)` in pixels of the view, the labels `(n,) int64`, the scores `(n,)`, the masks `(n, 28, 28)` of the
        boxes, as probabilities, and the features `(1, d)`."""
        raw, features = self.featured(views)
        (objects,) = raw.objects(self._limits)
        (masks,) = raw.head.box_masks(raw.maps, [objects], raw.size)
        return objects.boxes, objects.labels, objects.scores, masks, features
class InstancesExporting:
    kind: Literal["objects"] = "objects"
    outputs: tuple[str, ...] = ("boxes", "labels", "scores", "masks", "features")
    def graph(self, saved: Saved, limits: Limits) -> nn.Module:
        return ViewInstances(saved, limits).eval()
EXPORTING = InstancesExporting()
