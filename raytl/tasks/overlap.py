"""Overlaps of boxes and of masks, computed by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import ArrayLike

from raytl.metrics.confusion import Floats
from raytl.metrics.matching import Bools

Run = dict[str, object]
"""A mask as COCO's compressed run lengths: its `size` [height, width] and its `counts`."""


def box_overlaps(boxes: ArrayLike, truths: ArrayLike, crowd: Bools) -> Floats:
    """Return the overlaps `(d, g)` of `boxes (d, 4)` with `truths (g, 4)`, both as x_min, y_min, x_max, y_max.

    It is the intersection over union; over the area of the detected box where the object is a crowd.
    """
    return _overlaps(_xywh(boxes), _xywh(truths), crowd)


def mask_overlaps(masks: Sequence[Run], truths: Sequence[Run], crowd: Bools) -> Floats:
    """Return the overlaps `(d, g)` of masks, as `box_overlaps` does."""
    return _overlaps(list(masks), list(truths), crowd)


def box_areas(boxes: ArrayLike) -> Floats:
    """Return the areas of `boxes (n, 4)`."""
    xywh = _xywh(boxes)
    return xywh[:, 2] * xywh[:, 3]


def mask_areas(masks: Sequence[Run]) -> Floats:
    """Return the number of pixels of each mask."""
    return np.asarray(coco_mask.area(list(masks)) if masks else [], dtype=np.float64)


def mask_boxes(masks: Sequence[Run]) -> Floats:
    """Return the box around each mask, `(n, 4)`: x_min, y_min, x_max, y_max."""
    xywh = np.asarray(coco_mask.toBbox(list(masks)) if masks else [], dtype=np.float64).reshape(-1, 4)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def _xywh(boxes: ArrayLike) -> Floats:
    """Return boxes as x, y, width and height, `(n, 4)`."""
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def _overlaps(items: object, truths: object, crowd: Bools) -> Floats:
    if not len(items) or not len(truths):  # type: ignore[arg-type]
        return np.zeros((len(items), len(truths)))  # type: ignore[arg-type]
    return np.asarray(coco_mask.iou(items, truths, crowd.astype(int).tolist()), dtype=np.float64)
