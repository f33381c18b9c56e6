"""Count the regions of each image and the confidence of its pixels, which `raytl report` needs beside the scores.

All is counted on the network's own view, cut to the photo, so that it costs the same whatever the resolution of the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.data.placement import Placement
from raytl.data.transforms import Preprocess, eval_placement
from raytl.metrics.pixels import MAX_SUSPECTS, SUSPECT, binned_pixels, suspects
from raytl.metrics.regions import Regions, edges, regions
from raytl.metrics.scores import ECE_BINS
from raytl.metrics.segmentation import VOID, ClassMap
from raytl.tasks.task import Rows

FIELDS = 10
"""Numbers of a region in the text of an image: class, area and box in pixels of the photo, the most frequent class of the other
map, the region of the other map, whether it is found or correct, and its confidence in ten thousandths."""
CONFIDENCE = 10_000
_NOTHING: Rows = (
    np.zeros((0, ECE_BINS, 3)),
    np.zeros(0, np.bytes_),
    np.zeros((0, 4), np.int64),
    np.zeros((0, MAX_SUSPECTS, len(SUSPECT)), np.float32),
)


@dataclass(frozen=True)
class _View:
    """The part of the network's view that shows a photo of `size` (width, height)."""

    placement: Placement
    size: tuple[int, int]

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the view."""
        box = np.array([[0, 0, *self.size]], np.float64)
        x0, y0, x1, y1 = self.placement.boxes(box)[0][0].round().astype(int).tolist()
        return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))

    def of(self, truth: ClassMap) -> ClassMap:
        """Return the part of a map of the photo that lies in the window."""
        return self.placement.mask(truth, VOID)[self.window].astype(np.uint8)

    def in_photo(self, boxes: NDArray[Any]) -> NDArray[np.float32]:
        """Return boxes in the window in whole pixels of the photo, `(k, 4)`."""
        offset = [self.window[1].start, self.window[0].start] * 2
        return self.placement.inverse(self.size[::-1]).boxes(boxes + offset)[0].round().astype(np.float32)

    def text(self, each: Regions) -> str:
        """Return the regions of one map as numbers."""
        area, boxes = np.ceil(each.area / self.placement.scale), self.in_photo(each.boxes).T
        sure = np.round(each.confidence * CONFIDENCE)
        table = np.column_stack([each.label, area, *boxes, each.other, each.partner, each.is_shared, sure])
        return " ".join(map(str, table.astype(np.int64).ravel().tolist()))


def details(
    logits: Tensor,
    sizes: Sequence[tuple[int, int]],
    preprocess: Preprocess,
    truths: Sequence[ClassMap],
    brief: bool = False,
) -> Rows:
    """Return the rows of images from the `logits (b, classes, h, w)` of their views: `bins (b, 15, 3)`, and unless `brief` the true
    and the predicted regions as text, `(b,) S`, `edges (b, 4)` and `suspects (b, 3, 8)` (see `raytl.metrics.pixels.Pixels`).

    `sizes` are (width, height) of the `truths`.
    """
    best, classes = torch.softmax(logits.float(), dim=1).max(dim=1)
    sure, predicted = best.cpu().numpy(), classes.to(torch.uint8).cpu().numpy()
    rows = []
    for at, (size, truth) in enumerate(zip(sizes, truths, strict=True)):
        view = _View(eval_placement(*size, preprocess), size)
        seen = (view.of(truth), predicted[at][view.window], sure[at][view.window])
        rows.append((binned_pixels(*seen),) if brief else (binned_pixels(*seen), *_whole(view, *seen)))
    if not rows:
        return _NOTHING[:1] if brief else _NOTHING
    return tuple(np.stack(column) for column in zip(*rows, strict=True))


def _whole(view: _View, truth: ClassMap, predicted: ClassMap, sure: NDArray[np.floating]) -> tuple[Any, ...]:
    """Return the rest of one image."""
    text = "|".join(view.text(each) for each in regions(truth, predicted, sure)).encode()
    listed = suspects(truth, predicted, sure)
    return np.bytes_(text), edges(truth, predicted), np.hstack([listed[:, :4], view.in_photo(listed[:, 4:])])


def tables(text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the true and the predicted regions of an image from its text, `(k, 10)` and `(m, 10)`."""
    true, drawn = (np.array(part.split(), dtype=np.int64).reshape(-1, FIELDS) for part in text.decode().split("|"))
    return true, drawn
