"""The answer of the network for an image: the logit of each label, and the threshold of its probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LabelsAnswer:
    """The `logits` and `thresholds` of the labels, `(labels,) float32`; a threshold is a probability."""

    logits: NDArray[np.float32]
    thresholds: NDArray[np.float32]
