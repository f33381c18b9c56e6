"""The findings of a detector: each detection beside the object that it finds or confuses, as TIDE does (Bolya et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.findings import (
    BACKGROUND,
    CORRECT,
    DUPLICATE,
    MISPLACED,
    OTHER,
    WRONG_CLASS,
    Findings,
    Wanted,
    sizes_of,
)
from raytl.metrics.matching import Scene, match

NEAR, FAR = 0.5, 0.1
"""The overlap from which a detection finds an object, and the one below which it has nothing to do with it."""
Boxes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Judged:
    """The detections of one image that are scored: their places, errors, and objects, `(d,)`; the confidence that finds each
    object, `(g,)`."""

    rows: Ints
    error: Ints
    truth: Ints
    confidence: Floats


def scene_findings(
    scenes: Sequence[Scene], boxes: Sequence[Boxes], truth_boxes: Sequence[Boxes], thresholds: Floats, score: Floats
) -> Findings:
    """Return the findings of n images, with the `boxes (d, 4)` of their detections and the `truth_boxes (g, 4)` of their objects.

    A detection finds an object of its class by COCO's rules at an overlap of 0.5, and what lies on a crowd is left out. Its
    match does not depend on detections with lower scores, so it holds for every threshold. `thresholds (classes,)` and
    `score (n,)` are as in `Findings`.
    """
    judged = [_judged(scene) for scene in scenes]
    objects = [np.flatnonzero(~scene.crowd) for scene in scenes]
    starts = np.cumsum([0, *map(len, objects)])
    places = [np.append(np.cumsum(~scene.crowd) - 1 + start, -1) for scene, start in zip(scenes, starts, strict=False)]
    parts = list(zip(scenes, judged, strict=True))
    return Findings(
        image=np.repeat(np.arange(len(scenes)), [len(each.rows) for each in judged]),
        label=_joined([scene.labels[each.rows] for scene, each in parts]),
        confidence=_values([scene.scores[each.rows] for scene, each in parts]),
        error=_joined([each.error for each in judged]),
        truth=_joined([place[each.truth] for place, each in zip(places, judged, strict=True)]),
        size=sizes_of(_values([scene.areas[each.rows] for scene, each in parts])),
        boxes=_boxes([corners[each.rows] for corners, each in zip(boxes, judged, strict=True)]),
        wanted=Wanted(
            image=np.repeat(np.arange(len(scenes)), np.diff(starts)),
            label=_joined([scene.truth_labels[rows] for scene, rows in zip(scenes, objects, strict=True)]),
            size=sizes_of(_values([s.truth_areas[rows] for s, rows in zip(scenes, objects, strict=True)])),
            confidence=_values([j.confidence[rows] for j, rows in zip(judged, objects, strict=True)]),
            boxes=_boxes([corners[rows] for corners, rows in zip(truth_boxes, objects, strict=True)]),
        ),
        thresholds=thresholds,
        score=score,
    )


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _values(parts: Sequence[Floats]) -> Floats:
    return np.concatenate([np.zeros(0), *parts])


def _boxes(parts: Sequence[Boxes]) -> Boxes:
    return np.concatenate([np.zeros((0, 4), np.float32), *parts]).astype(np.float32)


def _judged(scene: Scene) -> _Judged:
    own = scene.labels[:, None] == scene.truth_labels
    objects = match(np.where(own, scene.overlaps, 0.0), scene.crowd, scene.crowd[None], np.array([NEAR]))[0, 0]
    is_correct = (objects >= 0) & ~np.append(scene.crowd, False)[objects]
    on_crowd = (scene.overlaps[:, scene.crowd] >= NEAR).any(axis=1)
    confidence = np.zeros(len(scene.crowd))
    confidence[objects[is_correct]] = scene.scores[is_correct]
    error, truth = _errors(np.where(scene.crowd, 0.0, scene.overlaps), own)
    error[is_correct], truth[is_correct] = CORRECT, objects[is_correct]
    rows = np.flatnonzero(is_correct | ~on_crowd)
    return _Judged(rows, error[rows], truth[rows], confidence)


def _errors(overlaps: Floats, own: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return the error of each detection if it finds nothing, and the object that it concerns (-1 for none), both `(d,)`.

    The first of these that applies, in TIDE's order: the best object of its class is near but not well covered; an object of
    another class is covered; an object of its class is covered, and so already found; any object is near; none is.
    """
    same, other = _best(np.where(own, overlaps, 0.0)), _best(np.where(own, 0.0, overlaps))
    cases = [
        (same.height >= FAR) & (same.height < NEAR),
        other.height >= NEAR,
        same.height >= NEAR,
        other.height >= FAR,
    ]
    error = np.select(cases, [MISPLACED, WRONG_CLASS, DUPLICATE, OTHER], BACKGROUND)
    return error, np.select(cases, [same.place, other.place, same.place, other.place], -1)


@dataclass(frozen=True, eq=False)
class _Best:
    place: Ints
    height: Floats


def _best(overlaps: Floats) -> _Best:
    """Return the object with the highest overlap of each detection, and that overlap; 0 without objects."""
    if not overlaps.shape[1]:
        return _Best(np.full(len(overlaps), -1), np.zeros(len(overlaps)))
    place = overlaps.argmax(axis=1)
    return _Best(place, overlaps[np.arange(len(overlaps)), place])
