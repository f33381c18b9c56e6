"""A column of the manifest as classes, which an auxiliary head learns: the values that training images have there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.data.sample import Cells, Sample
from raytl.data.sample_table import SampleTable
from raytl.data.texts import Coded
from raytl.errors import DataError

NO_VALUE = -1
"""The class of an image whose cell is empty, or has a value that no training image has."""
_KEY = "auxiliary.columns"
_MOST_VALUES, _FEW_VALUES, _IMAGES_EACH = 1000, 20, 5
"""The most values of a column; of more than a few, each is that of so many images on average."""
_UNSCORED = "no validation image has one of them, so its accuracy is not reported"
_LEAST_FILLED = 0.01
"""The least part of the training images that has a value: a single image weighs as much as 1 / this part of them."""


@dataclass(frozen=True)
class ColumnValues:
    """The column `name`, and the `values` that training images have there, sorted; an empty cell is no value."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, name: str, train: Sequence[Sample]) -> ColumnValues:
        """Return the values of the training images."""
        columns = SampleTable.of(train).columns
        cells = () if columns is None else (_cell(name, each) for each, _ in columns.counts())
        return cls(name, tuple(sorted({*cells} - {""})))

    def classes(self, samples: Sequence[Sample]) -> NDArray[np.int64]:
        """Return the place of the value of each sample in `values`, `(n,)`, or `NO_VALUE`."""
        columns, places = SampleTable.of(samples).columns, {value: i for i, value in enumerate(self.values)}
        if columns is None:
            return np.full(len(samples), NO_VALUE, np.int64)
        return columns.mapped(lambda each: places.get(_cell(self.name, each), NO_VALUE), np.int64)

    def check(self, train: Sequence[Sample], val: Sequence[Sample]) -> str:
        """Return what the training images have in the column, and how many validation images can be scored, for the plan.

        Raises:
            DataError: there is nothing to learn in it.
        """
        if len(self.values) < 2:
            what = (
                f"the only value of training images is {self.values[0]!r}"
                if self.values
                else "no training image has a value"
            )
            raise DataError(f"{_KEY}: {self.name}: {what}; expected two values or more. Remove it")
        classes = self.classes(train)
        images = np.bincount(classes[classes != NO_VALUE])
        if len(self.values) > (limit := _most_values(images.sum())):
            raise DataError(
                f"{_KEY}: {self.name}: found {len(self.values):,} values in {images.sum():,} training images; expected at most "
                f"{limit:,}, each that of {_IMAGES_EACH} images or more on average. Remove it, or group its values"
            )
        if images.sum() < _LEAST_FILLED * len(train):
            raise DataError(
                f"{_KEY}: {self.name}: found a value in {images.sum():,} of {len(train):,} training images; expected "
                f"{100 * _LEAST_FILLED:g} % or more, as the loss of so few would sway single steps. Fill in more cells, or remove it"
            )
        if images.max() < 2:
            raise DataError(
                f"{_KEY}: {self.name}: no value is that of two training images, as in a column of names; expected values that "
                "images have in common. Remove it"
            )
        if _says_the_label(classes, SampleTable.of(train)):
            raise DataError(
                f"{_KEY}: {self.name}: its values are the labels by other names, so there is nothing to learn beside them. "
                "Remove it"
            )
        usual = self.values[int(images.argmax())]
        scored = np.count_nonzero(self.classes(val) != NO_VALUE)
        of_val = f"{scored:,} of {len(val):,} validation images have one of them" if scored else _UNSCORED
        return (
            f"{_KEY}: {self.name}: {len(self.values)} values in {images.sum():,} of {len(train):,} training images; always "
            f"{usual!r} is right for {100 * images.max() / images.sum():.0f} %; {of_val}"
        )


def _most_values(images: int) -> int:
    return min(_MOST_VALUES, max(_FEW_VALUES, images // _IMAGES_EACH))


def _cell(name: str, cells: Cells) -> str:
    return dict(cells).get(name, "")


def _says_the_label(classes: NDArray[np.int64], train: SampleTable) -> bool:
    """Return whether each value belongs to one label, and each label to one value."""
    labels = train.targets
    if not isinstance(labels, Coded):
        return False
    has_value = classes != NO_VALUE
    pairs = np.unique(np.stack([classes[has_value], labels.codes[has_value].astype(np.int64)]), axis=1)
    return all(len(np.unique(row)) == pairs.shape[1] for row in pairs)
