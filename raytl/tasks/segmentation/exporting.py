"""Export a segmenter: normalized views to the logits of their pixels, which the client brings into the photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.bundle.client import class_map
from raytl.tasks.featured import Featured
from raytl.tasks.inference import Size
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved


class ViewLogits(nn.Module):
    """The network of a segmenter as a graph; see `SegmentationExporting.outputs`."""

    def __init__(self, saved: Saved) -> None:
        super().__init__()
        self.featured = Featured(saved)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits `(b, classes, h, w)` of the pixels of the views and the features `(b, d)`, both float32."""
        logits, features = self.featured(views)
        return logits.float(), features


class SegmentationExporting:
    """A class for each pixel. The graph has the logits of views, whose size is fixed: those of a photo of 12 megapixels and 20
    classes would take a gigabyte. The client interpolates them some rows of the photo at a time."""

    kind: Literal["map"] = "map"
    outputs: tuple[str, ...] = ("logits", "features")

    def graph(self, saved: Saved, limits: Limits) -> nn.Module:
        """Return the network."""
        return ViewLogits(saved).eval()

    def answers(self, outputs: Sequence[Mapping[str, NDArray[Any]]], sizes: Sequence[Size], saved: Saved) -> list[Any]:
        """Return the class map of each image, `(height, width) uint8`."""
        view = asdict(saved.card.preprocess)
        return [class_map(each["logits"][0], size, view) for each, size in zip(outputs, sizes, strict=True)]

    def label_thresholds(self, saved: Saved) -> tuple[float, ...]:
        """Return none: the most probable class is that of a pixel."""
        return ()


EXPORTING = SegmentationExporting()
