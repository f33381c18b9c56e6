"""The answer of an instance segmenter for one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.data.annotations import rle
from raytl.tasks.detection.answer import Detections


@dataclass(frozen=True, eq=False)
class Segments(Detections):
    """The objects of an image with masks: `counts` of each are COCO's compressed run lengths at the original `size` (width, height)."""

    counts: tuple[str, ...]
    size: tuple[int, int]


def bitmaps(counts: Sequence[str], size: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    """Yield the mask `(height, width)` of each of the run lengths of an image of `size` (width, height)."""
    return (rle.bitmap(each, *size) for each in counts)
