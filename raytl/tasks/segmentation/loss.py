"""The loss of semantic segmentation: cross-entropy, summed over the pixels that have a class."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

VOID = 255
"""The value of pixels that are neither learned nor scored."""


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of the cross-entropy `()` of logits `(b, classes, h, w)` and targets `(b, h, w) uint8`.

    Divide it by `normalizer` of the whole batch, or by 1 if that is 0.
    """
    wanted = targets.to(logits.device).long()
    return functional.cross_entropy(logits.float(), wanted, ignore_index=VOID, reduction="sum")


def normalizer(targets: Tensor) -> float:
    """Return the number of pixels that have a class."""
    return float((targets != VOID).sum())
