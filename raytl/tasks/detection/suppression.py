"""Non-maximum suppression within groups: torchvision's, in a form that an exported graph can hold where one is made."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms


def suppressed(boxes: Tensor, scores: Tensor, groups: Tensor, iou: float, count: int, side: float) -> Tensor:
    """Return the indices of the best `count` of `boxes (n, 4)`, best first, that no better box of their group overlaps by more than `iou`.

    All boxes lie within 0 and `side`. torchvision's function divides by group where there are many boxes, and a graph cannot
    depend on their number. Moving each group of boxes to a place of its own, as it does with few, has the same result but for
    rounding.
    """
    if not torch.compiler.is_exporting():
        return cast(Tensor, batched_nms(boxes, scores, groups, iou)[:count])
    apart = groups.to(boxes) * (side + 1)
    return cast(Tensor, nms(boxes + apart[:, None], scores, iou)[:count])
