"""One photo's objects as a value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from raytl.tasks.detection.answer import Detections
from raytl.tasks.drawing import draw_boxes, with_names
from raytl.tasks.notebook import Photo, counted, of_photo, picture_of, png


@dataclass(frozen=True, slots=True)
class DetectedBox:
    """One object: its class, score in [0, 1], and the corners of its box in pixels of the upright photo."""

    label: str
    score: float
    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, eq=False, repr=False)
class DetectionPrediction:
    """The objects of one photo. `photo` is its path or URI; None for an image that was passed in memory.

    A notebook shows the photo with its boxes.
    """

    answer: Detections
    classes: tuple[str, ...]
    photo: str | None = None

    @cached_property
    def boxes(self) -> tuple[DetectedBox, ...]:
        """The objects, the highest score first."""
        each = self.answer
        return tuple(
            DetectedBox(self.classes[each.labels[i]], float(each.scores[i]), *map(float, each.boxes[i]))
            for i in np.argsort(-each.scores, kind="stable")
        )

    def draw(self, image: Photo | None = None) -> Image.Image:
        """Return the photo with its boxes above the names of their colors; `image` is the photo itself, if it was passed in memory or has moved.

        Raises:
            UserError: the photo is not given and cannot be read.
        """
        each = self.answer
        drawn = draw_boxes(picture_of(self.photo, image), each.boxes, each.labels, each.scores, self.classes)
        return with_names(drawn, each.labels, self.classes)

    def _repr_png_(self) -> bytes | None:
        return png(self.draw)

    def __repr__(self) -> str:
        objects = counted([box.label for box in self.boxes]) or "no objects"
        return f"DetectionPrediction({objects}{of_photo(self.photo)})"
