"""Encode boxes and masks of objects as arrays in the pixels of a view, moved as its image is moved."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.data.annotations import rle
from raytl.data.encoder import Augment
from raytl.data.manifest import Sample, listed
from raytl.data.placement import Placement, scaling
from raytl.data.targets import Box, Boxes, Instance, Instances
from raytl.data.texts import Texts
from raytl.data.transforms import Preprocess, prepared_placement
from raytl.errors import DataError

MIN_VISIBLE = 0.25
"""Objects of which a smaller fraction is in the view are not learned from it."""
_MIN_SIDE_PX = 1.0
"""Objects that are narrower than this in the view are not learned from it."""


@dataclass(frozen=True, eq=False)
class ObjectArrays:
    """The objects of one view.

    `boxes (n, 4) float32` are x_min, y_min, x_max and y_max in its pixels, `labels (n,) int64` the classes from 0, `crowd (n,)
    bool`, and `masks (n, height, width) uint8` 1 inside an object; None if they are not needed.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    masks: NDArray[np.uint8] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle one bit a pixel of the masks: they go through the loader's queue."""
        if self.masks is None:
            return ObjectArrays, (self.boxes, self.labels, self.crowd)
        return _unpacked, (self.boxes, self.labels, self.crowd, np.packbits(self.masks), self.masks.shape)


def _unpacked(
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    crowd: NDArray[np.bool_],
    bits: NDArray[np.uint8],
    shape: tuple[int, ...],
) -> ObjectArrays:
    masks = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape)
    return ObjectArrays(boxes, labels, crowd, masks)


class ObjectTargets:
    """The objects of a split as targets of a loader; `collate` turns the arrays of its views into those of a batch.

    Crowds of a class that is not in `classes` are left out, of the truths too; any other class must be there.
    Boxes are stored in few large arrays: many small objects would be copied by each forked loader process.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Sequence[str],
        preprocess: Preprocess,
        collate: Callable[[Sequence[ObjectArrays]], Any],
        *,
        with_masks: bool = False,
        min_visible: float = MIN_VISIBLE,
    ) -> None:
        index = {name: number for number, name in enumerate(classes)}
        kinds = Instances if with_masks else (Boxes, Instances)
        targets = [_without_other_crowds(target, index) for target in _checked(samples, kinds)]
        learned = [_objects(target) for target in targets]
        every = [each for objects in learned for each in objects]
        self._truths, self._preprocess, self.collate, self._min_visible = targets, preprocess, collate, min_visible
        self._ends = np.cumsum([0, *map(len, learned)])
        boxes = [_corners(each, target) for target, objects in zip(targets, learned, strict=True) for each in objects]
        self._boxes = np.array(boxes, np.float32).reshape(-1, 4)
        self._labels = np.array([index[each.label] for each in every], np.int64)
        self._crowd = np.array([each.crowd for each in every], np.bool_)
        counts = (each.counts for each in every if isinstance(each, Instance))
        self._counts = Texts.of(counts) if with_masks else None

    def __len__(self) -> int:
        return len(self._truths)

    def size(self, i: int) -> tuple[int, int]:
        """Return width and height of the upright original image of sample `i`."""
        return self._truths[i].width, self._truths[i].height

    def truth(self, i: int) -> Boxes | Instances:
        """Return the objects of sample `i` that are scored, as they are annotated."""
        return self._truths[i]

    def view(self, i: int, augment: Augment, draw: Any, prepared: tuple[int, int]) -> ObjectArrays:
        """Return the objects of sample `i` in the view of `draw`, without those that are hardly visible."""
        stored = prepared_placement(*self.size(i), self._preprocess)
        placement = augment.placement(draw, *prepared)
        if stored.size != prepared:  # the annotated size is not exactly that of the image
            stored = stored.then(scaling(stored.size, prepared))
        return self._placed(i, stored.then(placement))

    def _placed(self, i: int, placement: Placement) -> ObjectArrays:
        places = np.arange(self._ends[i], self._ends[i + 1])
        boxes, visible = placement.boxes(self._boxes[places])
        wide = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= _MIN_SIDE_PX
        keep = wide & (visible >= np.where(self._crowd[places], 0.0, self._min_visible))
        if self._counts is None:
            return self._arrays(places[keep], boxes[keep])
        masks = self._masks(places[keep], self.size(i), placement)
        boxes = _tight(boxes[keep], masks, (visible[keep] == 1.0) & placement.is_aligned)
        seen = masks.any(axis=(1, 2))
        return self._arrays(places[keep][seen], boxes[seen], masks if seen.all() else masks[seen])

    def _arrays(
        self, places: NDArray[np.int64], boxes: NDArray[np.float64], masks: NDArray[np.uint8] | None = None
    ) -> ObjectArrays:
        return ObjectArrays(boxes.astype(np.float32), self._labels[places], self._crowd[places], masks)

    def _masks(self, places: NDArray[np.int64], size: tuple[int, int], placement: Placement) -> NDArray[np.uint8]:
        """Return the masks of the objects in the view, `(n, height, width)`; they are decoded one at a time."""
        assert self._counts is not None
        counts = self._counts
        boxes = self._boxes[places].astype(np.int64)
        crops = (
            rle.crop(counts[i], size[1], tuple(box)) for i, box in zip(places.tolist(), boxes.tolist(), strict=True)
        )
        return placement.stack(crops, boxes)


def _checked(samples: Sequence[Sample], kinds: Any) -> list[Boxes | Instances]:
    """Return the targets of the samples.

    Raises:
        DataError: some are of another kind; all are listed.
    """
    wrong = [f"{each.key}: {type(each.target).__name__}" for each in samples if not isinstance(each.target, kinds)]
    if wrong:
        expected = "masks of objects" if kinds is Instances else "boxes or masks of objects"
        raise DataError(
            f"{len(wrong)} of {len(samples)} images are not annotated with {expected}:\n{listed(wrong)}\n"
            "Choose the task that fits the annotations, or leave these images out."
        )
    return [each.target for each in samples]  # type: ignore[misc]


def _without_other_crowds(target: Boxes | Instances, classes: Collection[str]) -> Boxes | Instances:
    """Return the target without crowds of classes that are not in `classes`; the same object if it has none."""
    objects = _objects(target)
    if all(not each.crowd or each.label in classes for each in objects):
        return target
    if isinstance(target, Boxes):
        return replace(target, boxes=tuple(each for each in target.boxes if not each.crowd or each.label in classes))
    retained = tuple(each for each in target.instances if not each.crowd or each.label in classes)
    return replace(target, instances=retained)


def _objects(target: Boxes | Instances) -> Sequence[Box] | Sequence[Instance]:
    return target.boxes if isinstance(target, Boxes) else target.instances


def _corners(each: Box | Instance, target: Boxes | Instances) -> tuple[float, float, float, float]:
    return each.corners if isinstance(each, Box) else rle.box(each.counts, target.width, target.height)


def _tight(boxes: NDArray[np.float64], masks: NDArray[np.uint8], exact: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the boxes of the masks: as they are if `exact`, else around the pixels; those of a rotated box are fewer."""
    columns, rows = np.asarray(masks.any(axis=1)), np.asarray(masks.any(axis=2))
    edges = [columns.argmax(1), rows.argmax(1), _ends(columns), _ends(rows)]
    return np.where(exact[:, None], boxes, np.stack(edges, axis=1).astype(np.float64))


def _ends(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the position after the last True of each row of `(n, length)`."""
    ends: NDArray[np.int64] = flags.shape[1] - flags[:, ::-1].argmax(axis=1)
    return ends
