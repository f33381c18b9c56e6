"""Draws of images `(r, m)`: r lists of m indices, which scores over sets of images take.

The images themselves are one draw, `arange(n)[None]`; a bootstrap is a thousand draws with replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints

Measure = Callable[[Ints], dict[str, Floats]]
"""Scores over each row of draws `(r, m)`: arrays `(r,)`, or `(r, k)` for a score of each of k classes; NaN = undefined."""
Groups = NDArray[np.int64]
"""The group of each of n images, `(n,)`."""
_DRAWN_AT_ONCE = 2_000_000
"""Images of the draws of groups in memory."""


def counts_of(draws: Ints, n: int) -> NDArray[np.int32]:
    """Return how often each draw contains each of n images, `(n, r)`: draws last, as sums along the images are then fast."""
    rows = len(draws)
    cells = draws * rows + np.arange(rows)[:, None]
    return np.bincount(cells.ravel(), minlength=n * rows).reshape(n, rows).astype(np.int32)


def group_draws(groups: Groups, resamples: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Yield draws `(r, m)` of as many groups as there are, with replacement; those of as many images are together."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    chosen = rng.integers(0, len(members), size=(resamples, len(members)))
    lengths = np.array([len(each) for each in members])[chosen].sum(axis=1)
    for length in np.unique(lengths):
        for rows in blocks(chosen[lengths == length], _DRAWN_AT_ONCE // int(length)):
            yield np.stack([np.concatenate([members[group] for group in row]) for row in rows])


def group_sums(values: Floats, groups: Groups) -> Floats:
    """Return the sums of `values (n, ...)` over the images of each group, `(groups, ...)`."""
    owners = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((int(owners.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(sums, owners, values)
    return sums


def blocks(draws: Ints, at_once: int) -> Iterator[Ints]:
    """Yield the draws, at most `at_once` (at least one) at a time."""
    step = max(1, at_once)
    for start in range(0, len(draws), step):
        yield draws[start : start + step]


def selected(measured: dict[str, Floats], names: Collection[str] | None) -> dict[str, Floats]:
    """Return the scores called `names`; all of them if None."""
    return measured if names is None else {name: measured[name] for name in names}


def joined(parts: list[dict[str, Floats]]) -> dict[str, Floats]:
    """Return the scores of consecutive blocks of draws as those of all draws."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def values(measure: Measure, n: int) -> dict[str, Floats]:
    """Return the scores of n images, each once: `()` or `(k,)`."""
    return {name: score[0] for name, score in measure(np.arange(n)[None]).items()}


def ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Floats:
    """Return `part / whole`, NaN where `whole` is 0."""
    nan = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    return np.asarray(np.divide(part, whole, out=nan, where=np.asarray(whole) > 0))


def mean_of_defined(scores: Floats, axis: int | tuple[int, ...] = -1) -> Floats:
    """Return the mean of the scores that are defined; NaN if none is."""
    defined = ~np.isnan(scores)
    return ratio(np.where(defined, scores, 0.0).sum(axis=axis), defined.sum(axis=axis))
