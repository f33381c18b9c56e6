"""Decode masks of COCO's compressed run-length encoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def decoded(counts: Sequence[str], size: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    """Yield the mask `(height, width)` of each of the run lengths of an image of this (width, height)."""
    from faster_coco_eval import mask

    width, height = size
    for each in counts:
        yield mask.decode({"size": [height, width], "counts": each.encode()}).astype(np.bool_)


def area(counts: str, size: tuple[int, int]) -> int:
    """Return the number of pixels of a mask of an image of this (width, height)."""
    from faster_coco_eval import mask

    return int(mask.area({"size": [size[1], size[0]], "counts": counts.encode()}))
