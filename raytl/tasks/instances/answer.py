"""The answer of an instance segmenter for one image."""

from __future__ import annotations

from dataclasses import dataclass

from raytl.tasks.detection.answer import Detections


@dataclass(frozen=True, eq=False)
class Segments(Detections):
    """The objects of an image with masks: `counts` of each are COCO's compressed run lengths at the original `size` (width, height)."""

    counts: tuple[str, ...]
    size: tuple[int, int]
