"""Encode class names as the integers that the network learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from raytl.data.encoder import Augment
from raytl.data.manifest import Sample, listed
from raytl.errors import DataError
from raytl.tasks.task import Rows


def class_names(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the names of the classes, sorted.

    Raises:
        DataError: samples have another target than one class; they are listed.
    """
    wrong = [f"{sample.key}: {_kind(sample)}" for sample in samples if not isinstance(sample.target, str)]
    if wrong:
        raise DataError(
            f"{len(wrong)} of {len(samples)} images do not have one class, which task: classification needs:\n{listed(wrong)}\n"
            "Set task to the one of these annotations (multilabel, segmentation, detection or instances)."
        )
    return tuple(sorted({sample.label for sample in samples}))


def _kind(sample: Sample) -> str:
    return "no label" if sample.target is None else type(sample.target).__name__.lower()


def encode_targets(samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return each sample's target, the index of its label in `classes`: `(n,) int64`.

    Raises:
        KeyError: `classes` lacks a label.
    """
    index = {name: target for target, name in enumerate(classes)}
    return np.fromiter((index[sample.label] for sample in samples), dtype=np.int64, count=len(samples))


def decisions(truths: Sequence[Any], rows: Rows) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the class of each image, `(n,)`, and its logits, `(n, classes)`."""
    return np.fromiter(truths, dtype=np.int64, count=len(truths)), rows[0]


class LabelEncoder:
    """The class indices of a split as the targets of a loader; no view changes them."""

    def __init__(self, targets: ArrayLike) -> None:
        self._targets = np.asarray(targets, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._targets)

    def view(self, i: int, augment: Augment, draw: Any, prepared: tuple[int, int]) -> int:
        """Return the class index of sample `i`."""
        return int(self._targets[i])

    def size(self, i: int) -> tuple[int, int]:
        """Return no size: a class has no coordinates."""
        return 0, 0

    def truth(self, i: int) -> int:
        """Return the class index of sample `i`."""
        return int(self._targets[i])

    def collate(self, targets: Sequence[int]) -> torch.Tensor:
        """Return the class indices of a batch, `(b,) int64`."""
        return torch.tensor(targets, dtype=torch.int64)
