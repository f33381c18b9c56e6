"""Export an instance segmenter: a normalized view to the objects in it, each with the mask of its box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.bundle.client import mask_counts
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
    """Objects with masks. A graph takes one view at a time, and the client brings the masks into the photo."""

    kind: Literal["objects"] = "objects"
    outputs: tuple[str, ...] = ("boxes", "labels", "scores", "masks", "features")

    def graph(self, saved: Saved, limits: Limits) -> nn.Module:
        """Return the network with its suppression; `limits` are those of the objects that it returns."""
        return ViewInstances(saved, limits).eval()

    def answers(self, outputs: Sequence[Mapping[str, NDArray[Any]]], sizes: Sequence[Size], saved: Saved) -> list[Any]:
        """Return the `Segments` of each image."""
        return [_segments(each, size, saved) for each, size in zip(outputs, sizes, strict=True)]

    def label_thresholds(self, saved: Saved) -> tuple[float, ...]:
        """Return none: objects have one score, `raytl.models.predict_score`."""
        return ()


def _segments(outputs: Mapping[str, NDArray[Any]], size: Size, saved: Saved) -> Segments:
    preprocess = saved.card.preprocess
    boxes = dense.boxes_in_photo(outputs["boxes"].astype(np.float32), size, preprocess)
    masks = zip(outputs["masks"], outputs["boxes"], boxes, strict=True)
    return Segments(
        boxes,
        outputs["scores"].astype(np.float32),
        outputs["labels"].astype(np.int64),
        tuple(mask_counts(mask, box, own, size, asdict(preprocess)) for mask, box, own in masks),
        size,
        predict_score=predict_score_of(saved.module),
    )


EXPORTING = InstancesExporting()
