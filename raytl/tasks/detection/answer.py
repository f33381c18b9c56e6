"""The answer of a detector for one image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from raytl.models.predict_score import DEFAULT_SCORE


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects of an image, the highest score first.

    `boxes (n, 4) float32` are x_min, y_min, x_max and y_max in pixels of the upright original image, `scores (n,) float32`
    in [0, 1], `labels (n,) int64` indices of classes. `predict_score` is the lowest score of an object that the model reports;
    there may be objects with lower scores.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    predict_score: float = field(default=DEFAULT_SCORE, kw_only=True)

    def __len__(self) -> int:
        return len(self.scores)
