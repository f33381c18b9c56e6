"""One photo's objects with their masks as a value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.tasks.drawing import draw_masks, with_names
from raytl.tasks.instances.answer import Segments, bitmaps
from raytl.tasks.notebook import Photo, counted, of_photo, picture_of, png


@dataclass(frozen=True, slots=True)
class SegmentedObject:
    """One object: its class, score in [0, 1], the corners of its box in pixels of the upright photo, and its mask as the
    `counts` of COCO's compressed run lengths at `size` (width, height)."""

    label: str
    score: float
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    counts: str
    size: tuple[int, int]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask `(height, width)`, decoded on each access."""
        return next(bitmaps([self.counts], self.size))

    def __repr__(self) -> str:
        return f"SegmentedObject({self.label!r}, {self.score:.3f}, {self.size[0]} x {self.size[1]} pixels)"


@dataclass(frozen=True, eq=False, repr=False)
class InstancesPrediction:
    """The objects of one photo. `photo` is its path or URI; None for an image that was passed in memory.

    A notebook shows the photo with its masks.
    """

    answer: Segments
    classes: tuple[str, ...]
    photo: str | None = None

    @cached_property
    def instances(self) -> tuple[SegmentedObject, ...]:
        """The objects, the highest score first."""
        return tuple(self._object(i) for i in np.argsort(-self.answer.scores, kind="stable").tolist())

    def _object(self, i: int) -> SegmentedObject:
        each = self.answer
        x_min, y_min, x_max, y_max = map(float, each.boxes[i])
        label, score = self.classes[each.labels[i]], float(each.scores[i])
        return SegmentedObject(label, score, x_min, y_min, x_max, y_max, each.counts[i], each.size)

    def draw(self, image: Photo | None = None) -> Image.Image:
        """Return the photo with its masks above the names of their colors; `image` is the photo itself, if it was passed in memory or has moved.

        Raises:
            UserError: the photo is not given and cannot be read.
        """
        each = self.answer
        masks = bitmaps(each.counts, each.size)
        drawn = draw_masks(picture_of(self.photo, image), masks, each.boxes, each.labels, each.scores, self.classes)
        return with_names(drawn, each.labels, self.classes)

    def _repr_png_(self) -> bytes | None:
        return png(self.draw)

    def __repr__(self) -> str:
        objects = counted([each.label for each in self.instances]) or "no objects"
        return f"InstancesPrediction({objects}{of_photo(self.photo)})"
