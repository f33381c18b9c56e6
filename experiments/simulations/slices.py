"""Search errors that are random for slices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.attributes import Attribute, of_numbers, of_texts
from raytl.metrics.slices import SliceSearch, find_slices


def searched(seed: int, weak: bool = False, images: int = 600) -> SliceSearch:
    """Search among classes, sites and three numbers; if `weak`, dark images of site 2 are wrong more than half of the time."""
    rng = np.random.default_rng(seed)
    half = images // 2
    site, label, numbers = rng.integers(0, 4, images), rng.integers(0, 5, images), rng.normal(size=(3, images))
    odds = np.where((site == 2) & (numbers[0] < -0.43) & weak, 0.6, 0.1)
    errors = rng.random(images) < odds
    attributes = [texts("class", label, half), texts("site", site, half)]
    attributes += [of_numbers(f"number {i}", each[:half], each[half:]) for i, each in enumerate(numbers)]
    return find_slices(errors[:half], errors[half:], attributes)


def texts(name: str, codes: NDArray[np.int64], half: int) -> Attribute:
    """Return the attribute with the numbers as texts: the first `half` of them is of validation, the rest of test."""
    values = [str(code) for code in codes]
    return of_texts(name, values[:half], values[half:])


def false_slices(runs: int) -> tuple[float, float]:
    """Return how often test confirms a slice though errors are random, and how often validation alone shows one."""
    searches = [searched(seed) for seed in range(runs)]
    confirmed, shown = (
        [bool(part) for part in parts]
        for parts in zip(*((each.confirmed, each.slices) for each in searches), strict=True)
    )
    return float(np.mean(confirmed)), float(np.mean(shown))
