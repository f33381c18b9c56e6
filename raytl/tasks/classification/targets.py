"""Encode class names as the integers that the network learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray

from raytl.data.encoder import Augment
from raytl.data.manifest import Sample, listed
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Target
from raytl.errors import DataError
from raytl.tasks.task import Rows


def class_names(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the names of the classes, sorted.

    Raises:
        DataError: samples have another target than one class; they are listed.
    """
    table = SampleTable.of(samples)
    if not table.kinds() <= {str}:
        wrong = [f"{sample.key}: {_kind(sample)}" for sample in table if not isinstance(sample.target, str)]
        raise DataError(
            f"{len(wrong)} of {len(samples)} images do not have one class, which task: classification needs:\n{listed(wrong)}\n"
            "Set task to the one of these annotations (multilabel, segmentation, detection or instances)."
        )
    return tuple(sorted({str(target) for target, _ in table.targets.counts()}))


def _kind(sample: Sample) -> str:
    return "no label" if sample.target is None else type(sample.target).__name__.lower()


def encode_targets(samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return each sample's target, the index of its label in `classes`: `(n,) int64`.

    Raises:
        KeyError: `classes` lacks a label.
    """
    return _indices(samples, classes, np.int64)


def label_encoder(samples: Sequence[Sample], classes: Sequence[str]) -> LabelEncoder:
    """Return the class indices of a split as the targets of a loader, in two or four bytes a sample.

    Raises:
        KeyError: `classes` lacks a label.
    """
    return LabelEncoder(_indices(samples, classes, np.int16 if len(classes) < 1 << 15 else np.int32))


def _indices(samples: Sequence[Sample], classes: Sequence[str], kind: DTypeLike) -> NDArray[Any]:
    index: dict[Target, int] = {name: place for place, name in enumerate(classes)}
    return SampleTable.of(samples).targets.mapped(lambda target: index[target], kind)


def class_counts(samples: Sequence[Sample], classes: Sequence[str]) -> dict[str, int]:
    """Return the number of samples of each of `classes`, in their order."""
    counts = Counter[Target]()
    for target, count in SampleTable.of(samples).targets.counts():
        counts[target] += count
    return {name: counts[name] for name in classes}


def decisions(truths: Sequence[Any], rows: Rows) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the class of each image, `(n,)`, and its logits, `(n, classes)`."""
    return np.fromiter(truths, dtype=np.int64, count=len(truths)), rows[0]


class LabelEncoder:
    """The class indices of a split as the targets of a loader; no view changes them."""

    def __init__(self, targets: ArrayLike) -> None:
        self._targets = np.asarray(targets)

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
