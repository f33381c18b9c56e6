"""Average precision and recall as COCO defines them: first facts about each image, then scores over any draw of images.

The settings are COCO's and fixed (thresholds 0.50 to 0.95, 101 recall levels, 1, 10 and 100 detections of a class in an
image), so values compare with published ones. The values equal those of pycocotools and faster-coco-eval, except that a
score without any object to find is undefined (NaN, where they say -1) and is left out of means.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import blocks, counts_of, joined, mean_of_defined, ratio
from raytl.metrics.matching import Bools, Scene, match

THRESHOLDS = np.linspace(0.5, 0.95, 10)
SIZES = ("all", "small", "medium", "large")
_SIDE = 1e5
_AREAS = np.array([[0, _SIDE**2], [0, 32**2], [32**2, 96**2], [96**2, _SIDE**2]])
"""The bounds of the size ranges in square pixels, both inside."""
_LEVELS = np.linspace(0.0, 1.0, 101)
_ABOVE_PERCENT = np.arange(101) / 100 < _LEVELS
"""Levels that rounding puts above their percentage; a recall of exactly this percentage does not reach them."""
MAX_DETECTIONS = 100
_CELLS = 1 << 20
"""Limits the memory of a block of draws to some 30 MB."""


@dataclass(frozen=True, slots=True)
class _Score:
    """The definition of a score: precision or recall, its size range, thresholds, detections, and whether it is by class."""

    is_recall: bool = False
    size: int = 0
    thresholds: tuple[int, ...] = tuple(range(len(THRESHOLDS)))
    limit: int = MAX_DETECTIONS
    by_class: bool = False


_SCORES = {
    "map": _Score(),
    "map_50": _Score(thresholds=(0,)),
    "map_75": _Score(thresholds=(5,)),
    **{f"map_{name}": _Score(size=size) for size, name in enumerate(SIZES) if size},
    **{f"ar_{limit}": _Score(True, limit=limit) for limit in (1, 10, MAX_DETECTIONS)},
    **{f"ar_{name}": _Score(True, size) for size, name in enumerate(SIZES) if size},
    "ap": _Score(by_class=True),
    "ap_50": _Score(thresholds=(0,), by_class=True),
    "ar": _Score(True, by_class=True),
}
NAMES = tuple(_SCORES)
"""All scores: means over classes (`map`, `ar`, by threshold, size or detections), then by class (`ap`, `ap_50`, `ar`)."""
BY_CLASS = tuple(name for name, score in _SCORES.items() if score.by_class)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about n images. Rows are D detections, by class and falling score; those of equal score by image.

    `image`, `label` and `score` are `(D,)`; `rank (D,)` counts from 0 within image and class. `hit` and `counted` are
    `(D, sizes, thresholds)`: detections that are right, and those that are not ignored. `objects` is the number to find,
    `(n, classes, sizes)`.
    """

    image: Ints
    label: Ints
    score: Floats
    rank: Ints
    hit: Bools
    counted: Bools
    objects: Ints


def facts(scenes: Sequence[Scene], classes: int) -> Facts:
    """Return the facts about images, which `measure` scores."""
    parts = [
        _class_facts(scene, number, label)
        for number, scene in enumerate(scenes)
        for label in np.unique(np.concatenate([scene.labels, scene.truth_labels]))
    ]
    empty = np.zeros((0, len(SIZES), len(THRESHOLDS)), dtype=bool)
    objects = np.zeros((len(scenes), classes, len(SIZES)), dtype=np.int64)
    for part in parts:
        objects[part.image, part.label] = part.objects
    sizes = [len(part.scores) for part in parts]
    return _ordered(
        len(scenes),
        image=np.repeat(np.array([part.image for part in parts], dtype=np.int64), sizes),
        label=np.repeat(np.array([part.label for part in parts], dtype=np.int64), sizes),
        score=np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
        rank=np.concatenate([np.zeros(0, dtype=np.int64), *map(np.arange, sizes)]),
        hit=np.concatenate([empty, *(part.hit for part in parts)]),
        counted=np.concatenate([empty, *(part.counted for part in parts)]),
        objects=objects,
    )


def joined_facts(before: Facts, after: Facts) -> Facts:
    """Return the facts of two models about the same n images as those of 2n images: `before`'s, then `after`'s."""
    n = len(before.objects)
    assert n == len(after.objects), f"{n} and {len(after.objects)} images"

    def both(name: str) -> Any:
        return np.concatenate([getattr(before, name), getattr(after, name)])

    return _ordered(
        n,
        image=np.concatenate([before.image, after.image + n]),
        **{name: both(name) for name in ("label", "score", "rank", "hit", "counted", "objects")},
    )


def measure(image_facts: Facts, draws: Ints, names: Collection[str] = NAMES) -> dict[str, Floats]:
    """Return the scores called `names` over each row of `draws (r, m)`: `(r,)`, or `(r, classes)` for `BY_CLASS`."""
    classes = image_facts.objects.shape[1]
    largest = max(1, np.bincount(image_facts.label, minlength=classes).max(initial=0))
    return joined([_measured(image_facts, block, names) for block in blocks(draws, int(_CELLS // largest))])


def _measured(image_facts: Facts, draws: Ints, names: Collection[str]) -> dict[str, Floats]:
    counts = counts_of(draws, len(image_facts.objects))
    image_facts = _drawn(image_facts, np.asarray(counts.any(axis=1)))
    wanted = {name: _SCORES[name] for name in names}
    cells = sorted({(score.size, step) for score in wanted.values() for step in score.thresholds})
    limits = sorted({score.limit for score in wanted.values()})
    precision, recall = _tables(image_facts, counts, cells, limits)
    return {name: _value(score, precision, recall[score.limit]) for name, score in wanted.items()}


def _drawn(image_facts: Facts, is_drawn: Bools) -> Facts:
    """Return the facts without the detections of images that are not drawn, which cost time only."""
    rows = is_drawn[image_facts.image]
    if rows.all():
        return image_facts
    names = ("image", "label", "score", "rank", "hit", "counted")
    return replace(image_facts, **{name: getattr(image_facts, name)[rows] for name in names})


def _value(score: _Score, precision: Floats, recall: Floats) -> Floats:
    table = (recall if score.is_recall else precision)[:, :, score.size, list(score.thresholds)]
    return np.asarray(table.mean(axis=-1)) if score.by_class else mean_of_defined(table, (1, 2))


def _tables(
    image_facts: Facts, counts: NDArray[np.int32], cells: list[tuple[int, int]], limits: list[int]
) -> tuple[Floats, dict[int, Floats]]:
    """Return average precision, and recall by number of detections, `(r, classes, sizes, thresholds)`, in the `cells`."""
    classes = image_facts.objects.shape[1]
    shape = (counts.shape[1], classes, len(SIZES), len(THRESHOLDS))
    precision, recall = np.full(shape, np.nan), {limit: np.full(shape, np.nan) for limit in limits}
    bounds = np.searchsorted(image_facts.label, np.arange(classes + 1))
    objects = _objects_in(image_facts, counts)
    for label in range(classes):
        rows = slice(bounds[label], bounds[label + 1])
        weights, ranks = counts[image_facts.image[rows]], image_facts.rank[rows]
        calls = _Calls(weights)
        for size, step in cells:
            hits, counted = image_facts.hit[rows, size, step], image_facts.counted[rows, size, step]
            true, total = weights[hits], objects[label, size]
            precision[:, label, size, step] = _average_precision(true, calls.until(hits, counted), total)
            for limit in limits:
                recall[limit][:, label, size, step] = ratio(true[ranks[hits] < limit].sum(axis=0), total)
    return precision, recall


def _objects_in(image_facts: Facts, counts: NDArray[np.int32]) -> Floats:
    """Return the number of objects in each draw, `(classes, sizes, r)`; whole numbers, in the type that multiplies fast."""
    table = image_facts.objects.astype(np.float64)
    return np.asarray(np.tensordot(table, counts.astype(np.float64), axes=(0, 0)))


class _Calls:
    """Count the detections of a class up to each hit. Remember the sums, which are the same if the same rows count."""

    def __init__(self, weights: NDArray[np.int32]) -> None:
        self._weights = weights
        self._counted: Bools | None = None
        self._sums = weights

    def until(self, hits: Bools, counted: Bools) -> NDArray[np.int32]:
        """Return the number of counted detections up to and with each hit, `(hits, r)`."""
        if self._counted is None or not np.array_equal(counted, self._counted):
            self._counted = counted
            self._sums = np.cumsum(self._weights[counted], axis=0, dtype=np.int32)
        return self._sums[hits[counted]]


def _average_precision(true: NDArray[np.int32], calls: NDArray[np.int32], objects: Floats) -> Floats:
    """Return the mean over the recall levels of the highest precision at or beyond each, `(r,)`.

    `true (hits, r)` is how often each hit is drawn, `calls (hits, r)` the detections up to it, `objects (r,)` those to find.
    A hit that is drawn twice is two equal detections: the precision between them is below the one after, so one step does.
    """
    if len(true) == 0:
        return np.where(objects > 0, 0.0, np.nan)
    hits = np.cumsum(true, axis=0, dtype=np.int32)
    precision = hits / np.maximum(calls, 1)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    levels = _levels_reached(hits, np.maximum(objects, 1))
    area = envelope[0] * levels[0] + (envelope[1:] * np.diff(levels, axis=0)).sum(axis=0)
    return np.where(objects > 0, area / len(_LEVELS), np.nan)


def _levels_reached(hits: NDArray[np.int32], objects: Floats) -> Floats:
    """Return the number of recall levels at or below `hits / objects`, `(hits, r)`; exact, as in float64 comparisons."""
    percent = np.floor(100.0 * hits / objects)
    is_exact = percent * objects == 100.0 * hits
    return np.asarray(percent + 1 - (is_exact & _ABOVE_PERCENT[percent.astype(np.intp)]))


@dataclass(frozen=True, slots=True)
class _ClassFacts:
    image: int
    label: int
    scores: Floats
    hit: Bools
    counted: Bools
    objects: Ints


def _class_facts(scene: Scene, image: int, label: int) -> _ClassFacts:
    rows, truths = np.flatnonzero(scene.labels == label)[:MAX_DETECTIONS], np.flatnonzero(scene.truth_labels == label)
    crowd = scene.crowd[truths]
    ignored = crowd | _outside(scene.truth_areas[truths])
    objects = match(scene.overlaps[np.ix_(rows, truths)], crowd, ignored, THRESHOLDS)
    padded = np.concatenate([ignored, np.zeros((len(SIZES), 1), dtype=bool)], axis=1)  # for -1: no object
    is_matched, outside = objects >= 0, _outside(scene.areas[rows])[:, None]
    on_ignored = np.take_along_axis(padded[:, None], objects, axis=2)
    counted = np.where(is_matched, ~on_ignored, ~outside)
    hit = is_matched & counted
    return _ClassFacts(
        image,
        int(label),
        scene.scores[rows],
        hit.transpose(2, 0, 1),
        counted.transpose(2, 0, 1),
        (~ignored).sum(axis=1),
    )


def _outside(areas: Floats) -> Bools:
    """Return whether each object is outside of each size range, `(sizes, objects)`."""
    return np.asarray((areas < _AREAS[:, :1]) | (areas > _AREAS[:, 1:]))


def _ordered(
    images: int, *, image: Ints, label: Ints, score: Floats, rank: Ints, hit: Bools, counted: Bools, objects: Ints
) -> Facts:
    """Return facts with their rows in order; rows of equal score by the number of their image, modulo `images`."""
    order = np.lexsort((rank, image % images, -score, label))
    return Facts(image[order], label[order], score[order], rank[order], hit[order], counted[order], objects)
