"""The agreement of two models on the same images, by the kind of their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.data.annotations import rle
from raytl.exporting.parity import Agreement, class_agreement, label_agreement
from raytl.metrics.scores import softmax

_SAME_IOU = 0.9
"""The overlap of the boxes of the same object, and of its masks."""
_FEW_PIXELS = 4
"""The pixels by which masks may differ however small they are: one at the edge is no other object."""


def agreement_of(kind: str, reference: Sequence[Any], answers: Sequence[Any], score: float) -> Agreement:
    """Return the agreement of the task's own answers of the saved model and of a bundle to the same images.
    Objects count from `score` on, as the bundle reports them."""
    if kind == "classes":
        return class_agreement(softmax(np.stack(reference)), softmax(np.stack(answers)))
    if kind == "labels":
        tables = [_sigmoid(np.stack([each.logits for each in part])) for part in (reference, answers)]
        return label_agreement(tables[0], tables[1], reference[0].thresholds)
    if kind == "map":
        shares = [float(np.mean(a == b)) for a, b in zip(reference, answers, strict=True)]
        return Agreement(len(shares), float(sum(shares)), None)
    pairs = [
        object_agreement(_reported(a, score), _reported(b, score)) for a, b in zip(reference, answers, strict=True)
    ]
    objects = sum(int((each.scores >= score).sum()) for part in (reference, answers) for each in part)
    difference = max((d for _, d in pairs), default=0.0)
    return Agreement(len(pairs), float(sum(fraction for fraction, _ in pairs)), difference, objects=objects)


def object_agreement(reference: Mapping[str, NDArray[Any]], answers: Mapping[str, NDArray[Any]]) -> tuple[float, float]:
    """Return the fraction of the objects of an image that both models report, 1 without any, and the largest difference of
    their scores. An object is the same if its class is, and its box and its mask overlap."""
    total = len(reference["scores"]) + len(answers["scores"])
    free = set(range(len(answers["scores"])))
    matches, difference = 0, 0.0
    for place, box in enumerate(reference["boxes"]):
        own = [at for at in free if answers["labels"][at] == reference["labels"][place]]
        overlaps = {at: _overlap(box, answers["boxes"][at]) for at in own}
        best = max(overlaps, key=lambda at: overlaps[at], default=None)
        if best is not None and overlaps[best] >= _SAME_IOU and _has_same_mask(reference, place, answers, best):
            free.remove(best)
            matches += 1
            difference = max(difference, float(abs(answers["scores"][best] - reference["scores"][place])))
    return (2 * matches / total if total else 1.0), difference


def _reported(answer: Any, score: float) -> dict[str, NDArray[Any]]:
    keep = answer.scores >= score
    fields = {"boxes": answer.boxes[keep], "labels": answer.labels[keep], "scores": answer.scores[keep]}
    runs = getattr(answer, "counts", None)  # the answers of tasks with masks have their COCO run lengths
    if runs is not None:
        masks = [rle.bitmap(each, *answer.size) for each, is_kept in zip(runs, keep, strict=True) if is_kept]
        fields["masks"] = np.array(masks, bool)
    return fields


def _has_same_mask(
    reference: Mapping[str, NDArray[Any]], place: int, answers: Mapping[str, NDArray[Any]], at: int
) -> bool:
    """Return whether the masks of two objects overlap; true if objects have none."""
    if "masks" not in reference:
        return True
    one, other = reference["masks"][place], answers["masks"][at]
    return int((one ^ other).sum()) <= max(_FEW_PIXELS, (1 - _SAME_IOU) * int((one | other).sum()))


def _overlap(one: NDArray[Any], other: NDArray[Any]) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    inside = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(np.maximum(box[2:] - box[:2], 0))) for box in (one, other)]
    union = sum(areas) - inside
    return inside / union if union > 0 else 1.0


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))
