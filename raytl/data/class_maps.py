"""Encode the class of each pixel as a map in the pixels of a view, moved as its image is moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.data.annotations import rle
from raytl.data.bad_image import BadImage
from raytl.data.encoder import Augment
from raytl.data.manifest import Sample, listed
from raytl.data.mask_pixels import mask_values
from raytl.data.placement import Placement, scaling, shift
from raytl.data.targets import Instances, Mask
from raytl.data.texts import Texts
from raytl.data.transforms import Preprocess, prepared_placement
from raytl.data.verified_files import VerifiedFiles
from raytl.errors import DataError
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

VOID = 255
"""The value of pixels that are neither learned nor scored."""
BACKGROUND = "background"
"""The class of the pixels outside of all objects, if the pixels are annotated with objects; they are void without it."""
_MAX_TABLE = 1 << 16
_OUTSIDE = -1

ClassMap = NDArray[np.uint8]
"""Indices of classes `(height, width)`; 255 is void."""


class ClassMaps:
    """The class maps of a split as targets of a loader, read from mask files or painted from the masks of objects.

    A mask covers its photo: if their sizes differ, the map is scaled, and `size` and `truth` are those of the mask.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Sequence[str],
        preprocess: Preprocess,
        *,
        max_pixels: int,
        s3: S3Settings = ENVIRONMENT,
    ) -> None:
        if len(classes) > VOID:
            raise DataError(f"found {len(classes)} classes of pixels; expected at most {VOID}. Merge some classes")
        self._targets, self._preprocess, self._max_pixels = _checked(samples), preprocess, max_pixels
        self._index = {name: number for number, name in enumerate(classes)}
        self._empty = self._index.get(BACKGROUND, VOID)
        masks = [target if isinstance(target, Mask) else None for target in self._targets]
        self._files = VerifiedFiles(
            Texts.of(mask.path if mask else "" for mask in masks),
            Texts.of(mask.digest if mask else "" for mask in masks),
            max_pixels,
            s3,
        )

    def __len__(self) -> int:
        return len(self._targets)

    def prefetch(self, ids: Sequence[int]) -> None:
        """Start to fetch the masks of these samples, in order."""
        self._files.prefetch([i for i in ids if isinstance(self._targets[i], Mask)])

    def size(self, i: int) -> tuple[int, int]:
        """Return width and height of the annotated map of sample `i`."""
        target = self._targets[i]
        if isinstance(target, Instances) or target.width:
            return target.width, target.height
        height, width = self._values(i, target).shape
        return width, height

    def truth(self, i: int) -> ClassMap:
        """Return the map of sample `i` as it is annotated."""
        target = self._targets[i]
        if isinstance(target, Instances):
            return self._painted(target, shift(0, 0, (target.height, target.width)))
        return self._looked_up(target, self._values(i, target))

    def view(self, i: int, augment: Augment, draw: Any, prepared: tuple[int, int]) -> ClassMap:
        """Return the map of sample `i` in the view of `draw`; void where the view does not show the image."""
        target, placement = self._targets[i], augment.placement(draw, *prepared)
        if isinstance(target, Instances):
            stored = self._stored((target.height, target.width), prepared)
            return self._painted(target, stored.then(placement))
        values = self._values(i, target)
        stored = self._stored((values.shape[0], values.shape[1]), prepared)
        return self._looked_up(target, stored.then(placement).mask(values, _OUTSIDE))

    def collate(self, targets: Sequence[ClassMap]) -> torch.Tensor:
        """Return the maps of a batch, `(b, height, width) uint8`."""
        return torch.from_numpy(np.stack(targets)) if len(targets) else torch.zeros((0, 0, 0), dtype=torch.uint8)

    def _stored(self, size: tuple[int, int], prepared: tuple[int, int]) -> Placement:
        """Return the map from an annotation of this (height, width) to the prepared image."""
        placement = prepared_placement(size[1], size[0], self._preprocess)
        return placement.then(scaling(placement.size, prepared))

    def _values(self, i: int, target: Mask) -> NDArray[np.int32]:
        try:
            return mask_values(self._files.read(i), self._max_pixels, target.orientation)
        except BadImage as exc:
            raise DataError(f"{target.path}: {exc.reason}; rerun the command to audit the data again") from exc

    def _looked_up(self, target: Mask, values: NDArray[np.integer]) -> ClassMap:
        """Return the class of each value; void for values without one."""
        index = {each.value: self._index[each.name] for each in target.classes if each.name}
        table = np.full(max(index, default=0) + 2, VOID, dtype=np.uint8)
        if len(table) <= _MAX_TABLE:
            table[list(index)] = list(index.values())
            return np.asarray(table[np.where(values < len(table), values, _OUTSIDE)])  # -1 is the last: void
        result = np.full(values.shape, VOID, dtype=np.uint8)
        for value in np.unique(values).tolist():
            result[values == value] = index.get(value, VOID)
        return result

    def _painted(self, target: Instances, placement: Placement) -> ClassMap:
        """Return the map of objects, small ones over large ones; crowds are void."""
        size = (target.width, target.height)
        result = placement.mask(np.full(size[::-1], self._empty, np.uint8), VOID).astype(np.uint8, copy=False)
        for each in sorted(target.instances, key=lambda each: -rle.area(each.counts)):
            value = VOID if each.crowd else self._index[each.label]
            x0, y0, x1, y1 = map(int, rle.box(each.counts, *size))
            placement.paint(result, rle.crop(each.counts, size[1], (x0, y0, x1, y1)), (x0, y0, x1, y1), value)
        return result


def _checked(samples: Sequence[Sample]) -> list[Mask | Instances]:
    """Return the targets of the samples.

    Raises:
        DataError: some are of another kind; all are listed.
    """
    targets = [each.target for each in samples if isinstance(each.target, Mask | Instances)]
    if len(targets) < len(samples):
        wrong = [each for each in samples if not isinstance(each.target, Mask | Instances)]
        lines = listed([f"{each.key}: {type(each.target).__name__}" for each in wrong])
        raise DataError(
            f"{len(wrong)} of {len(samples)} images are not annotated with masks:\n{lines}\n"
            "Choose the task that fits the annotations, or leave these images out."
        )
    return targets
