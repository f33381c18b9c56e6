"""Encode class names as the integers that the network learns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raytl.data.manifest import Sample


def encode_targets(samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return each sample's target, the index of its label in `classes`: `(n,) int64`.

    Raises:
        KeyError: `classes` lacks a label.
    """
    index = {name: target for target, name in enumerate(classes)}
    return np.fromiter((index[sample.label] for sample in samples), dtype=np.int64, count=len(samples))
