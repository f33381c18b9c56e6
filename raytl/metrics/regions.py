"""Regions of class maps: connected pixels of one class (8 neighbors), as the things that a map finds.

A true region is found if at least half of its pixels are predicted as its class; a predicted region is correct if at least half
of its pixels have its class. Void pixels of the truth count nowhere.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.segmentation import VOID, ClassMap, boundary_pixels, tolerance

MIN_PIXELS = 4
"""Smaller regions are left out: a map that is drawn on a grid has no such things."""
MAX_REGIONS = 1000
"""Regions of an image, the largest; of more, the others are left out."""
_AROUND = np.ones((3, 3), dtype=bool)
_NOTHING = -1


@dataclass(frozen=True, eq=False)
class Regions:
    """The k regions of a map, the largest first.

    `label (k,)`, `area (k,)` in pixels, `boxes (k, 4)` x_min, y_min, x_max, y_max in pixels; `shared (k,)` pixels to which the
    other map gives the same class; the mean `confidence (k,)` of its pixels, of true regions that of shared ones, 0 without any; `other (k,)`, the
    most frequent class of the other map there; `partner (k,)`, the region of the other map that covers most of the shared pixels, of
    all pixels if that class is another, -1 for none.
    """

    label: Ints
    area: Ints
    boxes: Ints
    shared: Ints
    confidence: Floats
    other: Ints
    partner: Ints

    def __len__(self) -> int:
        return len(self.label)

    @property
    def is_shared(self) -> NDArray[np.bool_]:
        """True where at least half of the region has the same class in the other map, `(k,)`."""
        return np.asarray(2 * self.shared >= self.area)


def regions(
    truth: ClassMap, predicted: ClassMap, confidence: NDArray[np.floating], left_out: Collection[int] = ()
) -> tuple[Regions, Regions]:
    """Return the true and the predicted regions of an image, without those of the classes `left_out`.

    `truth`, `predicted` and the `confidence` of each pixel are `(h, w)`.
    """
    answer = np.where(truth == VOID, np.uint8(VOID), predicted)
    numbers, drawn = (_numbered(part, (VOID, *left_out)) for part in (truth, answer))
    true = _compared(truth, answer, np.where(truth == answer, confidence, 0.0), numbers, drawn)
    true = replace(true, confidence=true.confidence * true.area / np.maximum(true.shared, 1))
    return true, _compared(answer, truth, confidence, drawn, numbers)


def contradictions(
    truth: ClassMap, predicted: ClassMap, confidence: NDArray[np.floating], sure: float
) -> tuple[Regions, Ints]:
    """Return the regions in which all answers are at least `sure` and contradict the annotation, the largest first, and the
    annotated class of each; `Regions.label` is the answer.

    What is thinner than twice the tolerance of boundaries is left out: there annotation and answer agree on the thing, and differ
    on its outline.
    """
    from scipy import ndimage

    against = (truth != VOID) & (predicted != truth) & (confidence >= sure)
    against = ndimage.binary_opening(against, _AROUND, iterations=max(1, round(tolerance(truth.shape))))
    pair = np.where(against, truth.astype(np.int64) * 256 + predicted, _NOTHING)
    numbers = _numbered(pair, (_NOTHING,))
    result = _compared(pair, pair, confidence, numbers, numbers)
    given, label = np.divmod(result.label, 256)
    return replace(result, label=label), given


def edges(truth: ClassMap, predicted: ClassMap) -> Ints:
    """Return the pixels within the tolerance of a true boundary and those of them that are wrong, all other pixels and those of
    them that are wrong, `(4,)`."""
    from scipy import ndimage

    boundary, is_valid = boundary_pixels(truth), truth != VOID
    near = np.zeros(truth.shape, dtype=bool)
    if boundary.any():
        near = ndimage.distance_transform_edt(~boundary) <= tolerance(truth.shape)
    wrong = is_valid & (truth != predicted)
    parts = (near & is_valid, near & wrong, ~near & is_valid, ~near & wrong)
    return np.array([np.count_nonzero(part) for part in parts], dtype=np.int64)


def _numbered(labels: NDArray[np.integer], left_out: Collection[int]) -> NDArray[np.int32]:
    """Return the number of the region of each pixel, the largest region first, from 1; 0 outside of regions."""
    from scipy import ndimage

    numbers, total = np.zeros(labels.shape, np.int32), 0
    for value in np.unique(labels).tolist():
        if value not in left_out:
            own, count = ndimage.label(labels == value, _AROUND)
            inside = own > 0
            numbers[inside] = own[inside] + total
            total += count
    area = np.bincount(numbers.ravel(), minlength=total + 1)[1:]
    order = [i for i in np.argsort(-area, kind="stable").tolist() if area[i] >= MIN_PIXELS][:MAX_REGIONS]
    rank = np.zeros(total + 1, np.int32)
    rank[np.array(order, dtype=np.int64) + 1] = np.arange(1, len(order) + 1)
    return rank[numbers]


def _compared(
    labels: NDArray[np.integer],
    other: NDArray[np.integer],
    confidence: NDArray[np.floating],
    numbers: NDArray[np.int32],
    others: NDArray[np.int32],
) -> Regions:
    """Return the regions of `labels`, whose pixels have `numbers`, compared with those of the map `other`."""
    from scipy import ndimage

    count = int(numbers.max(initial=0))
    places, same = numbers.ravel(), (labels == other).ravel()
    first = np.unique(places, return_index=True)
    label = labels.ravel()[first[1][first[0] > 0]].astype(np.int64)
    area, shared = (np.bincount(places[part], minlength=count + 1)[1:] for part in (slice(None), same))
    mean = np.bincount(places, confidence.ravel(), count + 1)[1:] / np.maximum(area, 1)
    slices = ndimage.find_objects(numbers)
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in slices], dtype=np.int64).reshape(-1, 4)
    frequent = _most_frequent(places, other.ravel().astype(np.int64), count)
    there = others.ravel()
    own, all_of = (
        _most_frequent(np.where(part, places, 0), there, count) - 1 for part in (same & (there > 0), there > 0)
    )
    return Regions(
        label, area, boxes, shared, mean, frequent, np.where((2 * shared >= area) | (frequent == label), own, all_of)
    )


def _most_frequent(places: NDArray[np.integer], values: NDArray[np.integer], count: int) -> Ints:
    """Return the value that is most frequent among those at each place from 1 to `count`, `(count,)`; 0 without one."""
    inside = places > 0
    width = int(values[inside].max(initial=0)) + 1
    cells, sizes = np.unique(places[inside].astype(np.int64) * width + values[inside], return_counts=True)
    order = np.argsort(sizes, kind="stable")
    result = np.zeros(count + 1, dtype=np.int64)
    result[cells[order] // width] = cells[order] % width
    return result[1:]
