"""Encode class names as the integers that the network learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.data.manifest import Sample
from raytl.tasks.task import Augment


def encode_targets(samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return each sample's target, the index of its label in `classes`: `(n,) int64`.

    Raises:
        KeyError: `classes` lacks a label.
    """
    index = {name: target for target, name in enumerate(classes)}
    return np.fromiter((index[sample.label] for sample in samples), dtype=np.int64, count=len(samples))


class LabelEncoder:
    """The class indices of a split, `labels (n,) int64`, which no view changes."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def view(self, i: int, augment: Augment, draw: Any, prepared: tuple[int, int]) -> int:
        """Return the class of sample `i`."""
        return int(self.labels[i])

    def size(self, i: int) -> tuple[int, int]:
        """Return no size: a class has no coordinates."""
        return 0, 0

    def truth(self, i: int) -> int:
        """Return the class of sample `i`."""
        return int(self.labels[i])

    def collate(self, targets: Sequence[int]) -> Tensor:
        """Return the classes as `(b,) int64`."""
        return torch.tensor(targets, dtype=torch.int64)
