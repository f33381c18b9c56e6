"""Select the predictions of one-stage detectors: the best of each map, without those that overlap a better one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from raytl.tasks.detection.suppression import suppressed
from raytl.tasks.objects import Limits, Predicted

CANDIDATES = 1000
"""Candidates of each map that enter the suppression."""


def selected(
    scores: Tensor, counts: Sequence[int], boxes: Callable[[Tensor], Tensor], size: Sequence[int], limits: Limits
) -> Predicted:
    """Return the objects of one view.

    `scores (n, classes)` are those of `counts` places on each map, and `boxes` returns the boxes of the places of an index, which
    lie within the view of `size`.
    """
    classes, first, ranked = scores.shape[1], 0, []
    for count in counts:
        flat = scores[first : first + count].flatten()
        best = flat.topk(min(CANDIDATES, len(flat))).indices
        ranked.append(best[flat[best] > limits.score] + first * classes)
        first += count
    places = torch.cat(ranked)
    labels, certain = places % classes, scores.flatten()[places]
    candidates = boxes(places // classes)
    best = suppressed(candidates, certain, labels, limits.nms_iou, limits.max_detections, max(size))
    return Predicted(candidates[best], labels[best], certain[best])
