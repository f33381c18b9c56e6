"""Find slices of images on which a model errs more often: found on validation, confirmed on test.

A slice is an attribute's value, or the values of two attributes. An exact test upwards (Fisher 1935) compares its errors with
those of the other images. The worst slices of validation are tested again on test, with p-values corrected for their number
(Holm 1979), so that with probability `1 - level` no confirmed slice is a false one. What test does not confirm is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.attributes import Attribute
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.multiple import holm

LEVEL = 0.05
MIN_IMAGES = 20
"""Smaller slices are not tested, on validation or on test."""
LIMIT = 10
"""The number of slices of validation that are tested on test: each one more costs the others power."""
Mask = NDArray[np.bool_]
Condition = tuple[str, str]
"""The name of an attribute and its value."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The errors among some images, and among all others."""

    images: int
    errors: int
    other_images: int
    other_errors: int

    @property
    def error_rate(self) -> float:
        """The fraction of errors, NaN without images."""
        return self.errors / self.images if self.images else float("nan")

    @property
    def other_error_rate(self) -> float:
        """The fraction of errors among the other images, NaN without any."""
        return self.other_errors / self.other_images if self.other_images else float("nan")


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice that is worse than the rest on validation. `p_test` is corrected for the number of slices that were tested.

    `is_confirmed` is False where test does not show it, or has too few such images; `p_test` is NaN then.
    """

    conditions: tuple[Condition, ...]
    val: Rate
    test: Rate
    p_val: float
    p_test: float
    is_confirmed: bool

    @property
    def name(self) -> str:
        """Return its conditions as text: `camera = B, brightness = below 92`."""
        return ", ".join(f"{name} = {value}" for name, value in self.conditions)


@dataclass(frozen=True, slots=True)
class SliceSearch:
    """The slices that were tested on test, the confirmed ones first; `candidates` were tested on validation.

    `min_images` is the smallest size of a candidate.
    """

    slices: tuple[Slice, ...]
    candidates: int
    min_images: int

    @property
    def confirmed(self) -> tuple[Slice, ...]:
        """Return the slices that test confirms."""
        return tuple(each for each in self.slices if each.is_confirmed)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A slice with the images of both splits that are in it, and those of the slices that contain it."""

    conditions: tuple[Condition, ...]
    val: Mask
    test: Mask
    val_parents: tuple[Mask, ...]
    test_parents: tuple[Mask, ...]


def find_slices(
    val_errors: Mask,
    test_errors: Mask,
    attributes: Sequence[Attribute],
    *,
    pairs: bool = True,
    min_images: int = MIN_IMAGES,
    level: float = LEVEL,
    limit: int = LIMIT,
) -> SliceSearch:
    """Return the slices of validation errors `(n,)`, re-tested on test errors `(m,)`; without `pairs`, of one attribute each.

    A pair must be worse than all other images and than the rest of both slices that contain it, so that a bad class is not
    listed again with every property that its images have.
    """
    candidates = [each for each in _candidates(attributes, pairs, min_images) if each.val.sum() >= min_images]
    p_val = _p_values([(val_errors, each.val, each.val_parents) for each in candidates])
    order = [i for i in np.argsort(p_val, kind="stable")[:limit] if p_val[i] <= level]
    worst = [candidates[i] for i in order]
    p_test = _p_values([(test_errors, each.test, each.test_parents) for each in worst])
    p_test[[bool(each.test.sum() < min_images) for each in worst]] = np.nan
    slices = [
        Slice(
            each.conditions, rate(val_errors, each.val), rate(test_errors, each.test), float(before), float(after),
            bool(after <= level),
        )
        for each, before, after in zip(worst, p_val[order], holm(p_test), strict=True)
    ]  # fmt: skip
    ranked = sorted(slices, key=lambda each: (not each.is_confirmed, np.nan_to_num(each.p_test, nan=2.0), each.p_val))
    return SliceSearch(tuple(ranked), len(candidates), min_images)


def rate(errors: Mask, inside: Mask) -> Rate:
    """Return the errors among the images that are `inside`, and among the others."""
    images, wrong = int(inside.sum()), int(errors[inside].sum())
    return Rate(images, wrong, len(errors) - images, int(errors.sum()) - wrong)


def _candidates(attributes: Sequence[Attribute], pairs: bool, min_images: int) -> Iterator[_Candidate]:
    """Yield the slices of one attribute, then those of two; what is in a slice below `min_images` is left out."""
    singles = [[each for each in _single(attribute) if each.val.sum() >= min_images] for attribute in attributes]
    for each in singles:
        yield from each
    for firsts, seconds in combinations(singles, 2) if pairs else ():
        for first in firsts:
            yield from (_pair(first, second) for second in seconds)


def _single(attribute: Attribute) -> Iterator[_Candidate]:
    for code, value in enumerate(attribute.values):
        yield _Candidate(((attribute.name, value),), attribute.val == code, attribute.test == code, (), ())


def _pair(first: _Candidate, second: _Candidate) -> _Candidate:
    return _Candidate(
        (*first.conditions, *second.conditions),
        first.val & second.val,
        first.test & second.test,
        (first.val, second.val),
        (first.test, second.test),
    )


def _p_values(slices: Sequence[tuple[Mask, Mask, tuple[Mask, ...]]]) -> Floats:
    """Return the p-value of each slice, `(k,)`, from all errors, the images inside, and the slices that contain it.

    It is the largest of those against all other images and against the rest of each containing slice, which is a p-value for
    "not worse than at least one of them" (Berger 1982).
    """
    tables = [
        (place, *table)
        for place, (errors, inside, parents) in enumerate(slices)
        for table in (_table(errors, inside), *(_table(errors[parent], inside[parent]) for parent in parents))
    ]
    places, errors, images, all_errors, all_images = np.array(tables, np.int64).reshape(-1, 5).T
    largest = np.zeros(len(slices))
    np.maximum.at(largest, places, _exact(errors, images, all_errors, all_images))
    return largest


def _table(errors: Mask, inside: Mask) -> tuple[int, int, int, int]:
    return int(errors[inside].sum()), int(inside.sum()), int(errors.sum()), len(errors)


def _exact(errors: Ints, images: Ints, all_errors: Ints, all_images: Ints) -> Floats:
    """Return the probability of at least as many `errors` in each slice, if all errors fell on images at random."""
    from scipy.stats import hypergeom  # takes most of a second to import

    return np.asarray(hypergeom.sf(errors - 1, all_images, all_errors, images))
