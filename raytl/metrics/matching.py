"""Match the detections of one image with its objects, as COCO does: greedily, by falling score.

Rules (pycocotools' `evaluateImg`): a detection takes the free object with the highest overlap at or above the threshold, the
later one of equals. An ignored object (a crowd, or one outside the size range) is taken only if no other fits, and a crowd can
be taken any number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints

Bools = NDArray[np.bool_]
_BELOW_ONE = 1 - 1e-10
"""The highest threshold, so that a perfect overlap passes 1.0 in spite of rounding."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The objects and detections of one image: g objects, d detections by falling score, and their overlaps.

    `truth_labels (g,)`, `truth_areas (g,)` in square pixels, `crowd (g,)`; `labels (d,)`, `scores (d,)`, `areas (d,)`;
    `overlaps (d, g)` is the intersection over union, over the detection's own area for a crowd.
    """

    truth_labels: Ints
    truth_areas: Floats
    crowd: Bools
    labels: Ints
    scores: Floats
    areas: Floats
    overlaps: Floats


def match(overlaps: Floats, crowd: Bools, ignored: Bools, thresholds: Floats) -> Ints:
    """Return the object of each detection, -1 = none: `(ranges, thresholds, d)`.

    Args:
        overlaps: `(d, g)`, detections by falling score.
        crowd: `(g,)`.
        ignored: `(ranges, g)`, the ignored objects by size range; crowds are among them.
        thresholds: `(thresholds,)`.
    """
    limits = np.minimum(thresholds, _BELOW_ONE)
    taken = np.zeros((len(ignored), len(limits), overlaps.shape[1]), dtype=bool)
    objects = np.full((len(ignored), len(limits), len(overlaps)), -1, dtype=np.int64)
    near = overlaps >= limits.min()
    for detection in np.flatnonzero(near.any(axis=1)):
        places = np.flatnonzero(near[detection])
        heights = overlaps[detection, places]
        fits = (~taken[:, :, places] | crowd[places]) & (heights >= limits[:, None])
        chosen, any_fits = _best(fits, fits & ~ignored[:, None, places], heights)
        objects[:, :, detection] = np.where(any_fits, places[chosen], -1)
        ranges, steps = np.nonzero(any_fits)
        taken[ranges, steps, places[chosen[ranges, steps]]] = True
    return objects


def _best(fits: Bools, preferred: Bools, heights: Floats) -> tuple[Ints, Bools]:
    """Return the place of the highest of the preferred, otherwise of those that fit, and whether any fits."""
    candidates = np.where(preferred.any(axis=-1, keepdims=True), preferred, fits)
    backwards = np.where(candidates, heights, -1.0)[..., ::-1]
    return len(heights) - 1 - backwards.argmax(axis=-1), np.asarray(fits.any(axis=-1))


def confusion(scenes: Sequence[Scene], classes: int, *, score: float, overlap: float = 0.5) -> Ints:
    """Return counts `(classes + 1, classes + 1)`, true by detected; the last row and column are the background.

    Detections at or above `score` are matched within their class, so the diagonal holds COCO's hits; the rest is then
    matched with the objects of other classes. An object that is left is a miss `[class, -1]`, a detection that is left a
    false alarm `[-1, class]`, unless it lies on a crowd.
    """
    matrix = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    for scene in scenes:
        rows = np.flatnonzero(scene.scores >= score)
        objects = _objects_of(scene, rows, overlap)
        on_crowd = (objects >= 0) & np.append(scene.crowd, False)[objects]
        missed = np.setdiff1d(np.flatnonzero(~scene.crowd), objects)
        true = np.append(scene.truth_labels, classes)[objects[~on_crowd]]
        np.add.at(matrix, (true, scene.labels[rows][~on_crowd]), 1)
        np.add.at(matrix, (scene.truth_labels[missed], np.full(len(missed), classes)), 1)
    return matrix


def _objects_of(scene: Scene, rows: Ints, overlap: float) -> Ints:
    """Return the object of each of these detections, -1 = none: of its own class, otherwise of another."""
    limit = np.array([overlap])
    own = scene.labels[rows][:, None] == scene.truth_labels
    overlaps = scene.overlaps[rows]
    objects = match(np.where(own, overlaps, 0.0), scene.crowd, scene.crowd[None], limit)[0, 0]
    left = (objects < 0)[:, None] & ~(np.isin(np.arange(len(scene.crowd)), objects) & ~scene.crowd)
    others = match(np.where(left, overlaps, 0.0), scene.crowd, scene.crowd[None], limit)[0, 0]
    return np.asarray(np.where(objects >= 0, objects, others))
