"""The answer of a multi-label model for one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Presence:
    """`probabilities (classes,) float` of each label, and whether they reach its threshold: `present (classes,) bool`."""

    probabilities: NDArray[np.floating]
    present: NDArray[np.bool_]
