"""Features that a network could have: a cluster for each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def blobs(
    each: int, count: int, spread: float, seed: int = 0, width: int = 16
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`each` images of `count` classes in turn, `(n, width)`, at `spread` about centres at a distance of about 4."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(count, width))
    centres *= 3 / np.linalg.norm(centres, axis=1, keepdims=True)
    classes = np.arange(each * count) % count
    return (centres[classes] + spread * draw.normal(size=(len(classes), width)) / 2).astype(np.float32), classes
