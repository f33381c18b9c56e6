"""Drawn truth for the tests of detectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raytl.tasks.objects import ObjectBatch, Objects

SIZE = (96, 128)


def objects(boxes: Sequence[Sequence[float]], labels: Sequence[int], crowd: Sequence[bool] | None = None) -> Objects:
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    masks = torch.zeros(len(corners), *SIZE, dtype=torch.uint8)
    for mask, (left, top, right, lower) in zip(masks, corners.int().tolist(), strict=True):
        mask[top:lower, left:right] = 1
    groups = torch.tensor(crowd or [False] * len(corners), dtype=torch.bool)
    return Objects(corners, torch.tensor(labels, dtype=torch.int64), groups, masks)


def batch() -> ObjectBatch:
    """Five views: three objects, none, a group beside an object, a group alone, and a small object."""
    return ObjectBatch(
        (
            objects([[10, 10, 60, 70], [50, 20, 120, 90], [5, 5, 20, 22]], [0, 1, 2]),
            objects([], []),
            objects([[3, 3, 50, 50], [60, 10, 100, 80]], [1, 0], [True, False]),
            objects([[0, 0, 127, 95]], [2], [True]),
            objects([[20, 20, 28, 30]], [2]),
        ),
        SIZE,
    )
