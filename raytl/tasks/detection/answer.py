"""The answer of a detector for one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects of an image, the highest score first.

    `boxes (n, 4) float32` are x_min, y_min, x_max and y_max in pixels of the upright original image, `scores (n,) float32`
    in [0, 1], `labels (n,) int64` indices of classes.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)
