"""One photo's class map as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.tasks.drawing import draw_classes
from raytl.tasks.notebook import Photo, of_photo, picture_of, png


@dataclass(frozen=True, eq=False, repr=False)
class SegmentationPrediction:
    """The class of each pixel of one photo: `class_map (height, width) uint8` of places in `classes`.

    `photo` is its path or URI; None for an image that was passed in memory. A notebook shows the photo under its classes.
    """

    class_map: NDArray[np.uint8]
    classes: tuple[str, ...]
    photo: str | None = None

    @cached_property
    def fractions(self) -> Mapping[str, float]:
        """The part of the pixels of each class, in the order of the classes."""
        counts = np.bincount(self.class_map.ravel(), minlength=256)
        return {name: float(counts[i] / self.class_map.size) for i, name in enumerate(self.classes)}

    def mask(self, label: str) -> NDArray[np.bool_]:
        """Return the pixels of one class, `(height, width)`.

        Raises:
            ValueError: there is no such class.
        """
        return np.equal(self.class_map, self.classes.index(label))

    def draw(self, image: Photo | None = None) -> Image.Image:
        """Return the photo under its classes; `image` is the photo itself, if it was passed in memory or has moved.

        Raises:
            UserError: the photo is not given and cannot be read.
        """
        return draw_classes(picture_of(self.photo, image), self.class_map, self.classes)

    def _repr_png_(self) -> bytes | None:
        return png(self.draw)

    def __repr__(self) -> str:
        ranked = sorted(self.fractions.items(), key=lambda pair: -pair[1])
        listed = ", ".join(f"{name} {100 * part:.0f} %" for name, part in ranked[:3] if part)
        return f"SegmentationPrediction({listed}{of_photo(self.photo)})"
