"""Count the regions of each image and the confidence of its pixels, which `raytl report` needs beside the scores.

All is counted on the network's own view, cut to the photo, so that it costs the same whatever the resolution of the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.data.placement import Placement
from raytl.data.transforms import Preprocess, eval_placement
from raytl.metrics.pixels import MAX_SUSPECTS, SUSPECT, pixels_of
from raytl.metrics.regions import Regions, regions
from raytl.metrics.scores import ECE_BINS
from raytl.metrics.segmentation import VOID, ClassMap
from raytl.tasks.task import Rows

FIELDS = 10
"""Numbers of a region in the text of an image: class, area and box in pixels of the photo, the most frequent class of the other
map, the region of the other map, whether it is found or correct, and its confidence in ten thousandths."""
CONFIDENCE = 10_000


def details(
    logits: Tensor, sizes: Sequence[tuple[int, int]], preprocess: Preprocess, truths: Sequence[ClassMap]
) -> Rows:
    """Return the rows of images from the `logits (b, classes, h, w)` of their views: the true regions and the predicted ones as
    text, `(b,) S`, and `bins (b, 15, 3)`, `edges (b, 4)` and `suspects (b, 3, 8)` of `raytl.metrics.pixels.Pixels`.

    `sizes` are (width, height) of the `truths`.
    """
    best, classes = torch.softmax(logits.float(), dim=1).max(dim=1)
    sure, predicted = best.cpu().numpy(), classes.to(torch.uint8).cpu().numpy()
    texts, pixels = [], []
    for at, (size, truth) in enumerate(zip(sizes, truths, strict=True)):
        placement = eval_placement(*size, preprocess)
        window = _window(placement, size)
        seen = (placement.mask(truth, VOID)[window].astype(np.uint8), predicted[at][window], sure[at][window])
        texts.append("|".join(_text(each, placement, window, size) for each in regions(*seen)).encode())
        bins, edges, suspects = pixels_of(*seen)
        boxes = _in_photo(suspects[:, 4:], placement, window, size)
        pixels.append((bins, edges, np.hstack([suspects[:, :4], boxes])))
    columns = [np.stack(column) for column in zip(*pixels, strict=True)] or _no_pixels()
    return np.array(texts, dtype=np.bytes_), *columns


def tables(text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the true and the predicted regions of an image from its text, `(k, 10)` and `(m, 10)`."""
    true, drawn = (np.array(part.split(), dtype=np.int64).reshape(-1, FIELDS) for part in text.decode().split("|"))
    return true, drawn


def _window(placement: Placement, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of the view that show the photo."""
    box = np.array([[0, 0, *size]], np.float64)
    x0, y0, x1, y1 = placement.boxes(box)[0][0].round().astype(int).tolist()
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


def _text(each: Regions, placement: Placement, window: tuple[slice, slice], size: tuple[int, int]) -> str:
    """Return the regions of one map as numbers."""
    columns = [
        each.label,
        np.ceil(each.area / placement.scale),
        *_in_photo(each.boxes, placement, window, size).T,
        each.other,
        each.partner,
        each.is_shared,
        np.round(each.confidence * CONFIDENCE),
    ]
    return " ".join(map(str, np.column_stack(columns).astype(np.int64).ravel().tolist()))


def _in_photo(
    boxes: NDArray[Any], placement: Placement, window: tuple[slice, slice], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return boxes in a window of the view in whole pixels of its photo, `(k, 4)`."""
    offset = [window[1].start, window[0].start] * 2
    return placement.inverse(size[::-1]).boxes(boxes + offset)[0].round().astype(np.float32)


def _no_pixels() -> list[NDArray[np.generic]]:
    return [
        np.zeros((0, ECE_BINS, 3)),
        np.zeros((0, 4), np.int64),
        np.zeros((0, MAX_SUSPECTS, len(SUSPECT)), np.float32),
    ]
