"""Encode the labels that are present in an image as one value a label: 1 present, 0 absent, -1 unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.data.manifest import Sample, listed
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Boxes, Instances, Labels, Target
from raytl.data.texts import Coded
from raytl.errors import DataError
from raytl.tasks.task import Rows

UNKNOWN = -1
SEPARATOR = "|"
"""Stands between labels in the tables of predictions, as in those that label images."""
Vectors = NDArray[np.int8]
"""`(n, labels)`: 1 present, 0 absent, -1 unknown."""


def labels_of(target: Target) -> Labels | None:
    """Return the labels of an image: as given, or the classes of its objects; None for another target."""
    match target:
        case Labels():
            return target
        case Boxes():
            return Labels(tuple(box.label for box in target.boxes))
        case Instances():
            return Labels(tuple(each.label for each in target.instances))
        case _:
            return None


def label_names(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the names of all labels, sorted.

    A label cannot be learned without one image in which it is present and one in which it is known to be absent.

    Raises:
        DataError: samples have no labels, or labels cannot be learned or named; all are listed.
    """
    _check_kind(samples)
    names: set[str] = set()
    for target, _ in SampleTable.of(samples).targets.counts():
        labels_in = labels_of(target)
        assert labels_in is not None
        names.update(labels_in.present, labels_in.unknown)
    ordered = tuple(sorted(names))
    _check_names(ordered)
    _check_learnable(ordered, encode(samples, ordered))
    return ordered


def encode(samples: Sequence[Sample], labels: Sequence[str]) -> Vectors:
    """Return the labels of each sample: `(n, labels) int8`. Names that are not in `labels` are left out.

    Raises:
        DataError: a sample has no labels.
    """
    _check_kind(samples)
    index = {name: place for place, name in enumerate(labels)}
    targets = SampleTable.of(samples).targets
    values = targets.values if isinstance(targets, Coded) else targets
    vectors = np.zeros((len(values), len(labels)), dtype=np.int8)
    for row, target in zip(vectors, values, strict=True):
        labels_in = labels_of(target) or Labels(())  # a value that no sample has may be of another kind
        row[[index[name] for name in labels_in.unknown if name in index]] = UNKNOWN
        row[[index[name] for name in labels_in.present if name in index]] = 1
    return vectors[targets.codes] if isinstance(targets, Coded) else vectors


class LabelsEncoder:
    """The labels of a split, `vectors (n, labels) int8`, which no view changes."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def view(self, i: int, augment: Any, draw: Any, prepared: tuple[int, int]) -> Vectors:
        """Return the labels of sample `i`, `(labels,)`."""
        return np.asarray(self.vectors[i])

    def size(self, i: int) -> tuple[int, int]:
        """Return no size: labels have no coordinates."""
        return 0, 0

    def truth(self, i: int) -> Vectors:
        """Return the labels of sample `i`, `(labels,)`."""
        return np.asarray(self.vectors[i])

    def collate(self, targets: Sequence[Vectors]) -> Tensor:
        """Return the labels of a batch, `(b, labels) int8`."""
        return torch.from_numpy(np.stack(targets))


def _check_kind(samples: Sequence[Sample]) -> None:
    table = SampleTable.of(samples)
    if not table.kinds() <= {Labels, Boxes, Instances}:
        wrong = [
            f"{sample.key}: {'no label' if sample.target is None else type(sample.target).__name__}"
            for sample in table
            if labels_of(sample.target) is None
        ]
        raise DataError(
            f"{len(wrong)} of {len(samples)} images have no labels; expected the names that are present, or objects with "
            f"classes:\n{listed(wrong)}\nAdd labels, or leave these images out."
        )


def _check_names(labels: Sequence[str]) -> None:
    wrong = [name for name in labels if SEPARATOR in name]
    if wrong:
        raise DataError(
            f"labels that contain {SEPARATOR!r}, which separates labels in tables: {len(wrong)}; expected none:\n{listed(wrong)}\n"
            "Rename them in the annotations."
        )


def _check_learnable(labels: Sequence[str], vectors: Vectors) -> None:
    present, absent = (vectors == 1).sum(axis=0), (vectors == 0).sum(axis=0)
    wrong = [
        f"{name}: present in {has}, absent in {lacks}, unknown in {len(vectors) - has - lacks}"
        for name, has, lacks in zip(labels, present.tolist(), absent.tolist(), strict=True)
        if not (has and lacks)
    ]
    if wrong or not labels:
        count = f"{len(wrong)} of {len(labels)} labels cannot be learned" if labels else "no image has a label"
        raise DataError(
            f"{count}; expected for each label an image in which it is present and one in which it is absent:\n"
            f"{listed(wrong)}\nAdd such images to the training split, or leave the label out of the annotations."
        )


def decisions(truths: Sequence[Any], rows: Rows) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return 1 or 0 for each known label of each image, `(m,)`, and the logits of its absence (0) and presence, `(m, 2)`."""
    vectors = np.stack(list(truths))
    is_known = vectors >= 0
    present = rows[0][is_known]
    return vectors[is_known].astype(np.int64), np.stack([np.zeros_like(present), present], axis=1)
