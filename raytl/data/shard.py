"""Compute which samples go into which batch of which worker from (sizes, seed, epoch, world) alone.

Training: one global order per epoch is split into near-equal global batches, each divided among the ranks, so the
global batches of an epoch are the same for every world size. A source beside the labelled images gives a fixed number of
images to each step, from an order without end: its position follows from the number of the step, so any step can be resumed.
Evaluation: whole fixed batches are assigned to the ranks round-robin, without padding, so the composition of a batch never
depends on the world size.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]
_ORDER_STREAM = 0x6F72646572  # "order": separates these draws from those of augmentation


def steps_per_epoch(n: int, batch: int) -> int:
    """Return the number of global batches in an epoch of `n` samples; all are near-equal, so the last is not short."""
    return -(-n // batch)


def epoch_order(n: int, seed: int, epoch: int, weights: ArrayLike | None = None) -> Indices:
    """Return the order of the samples in `epoch`, `(n,)`: a permutation, or `n` draws with replacement by `weights`."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([_ORDER_STREAM, seed, epoch])))
    if weights is None:
        return rng.permutation(n).astype(np.int64, copy=False)
    return _weighted_draws(np.asarray(weights, dtype=np.float64), n, rng)


def _weighted_draws(weights: NDArray[np.float64], n: int, rng: np.random.Generator) -> Indices:
    """Return a systematic sample in random order: each index occurs floor or ceil of its expected count."""
    assert weights.shape == (n,) and bool(np.all(weights >= 0)) and weights.sum() > 0, "one weight >= 0 a sample"
    ends = np.cumsum(weights[(shuffle := rng.permutation(n))])
    points = (np.arange(n) + rng.random()) * (ends[-1] / n)
    draws = shuffle[np.minimum(np.searchsorted(ends, points, side="right"), n - 1)]
    return rng.permutation(draws).astype(np.int64, copy=False)


def global_batch(order: Indices, step: int, steps: int) -> Indices:
    """Return the samples of global batch `step`, `np.array_split(order, steps)[step]`; sizes differ by at most one."""
    assert 0 <= step < steps, f"step {step} outside an epoch of {steps}"
    size, extra = divmod(len(order), steps)
    start = step * size + min(step, extra)
    return order[start : start + size + (step < extra)]


def rank_part(indices: Indices, rank: int, size: int, before: int = 0) -> Indices:
    """Return the rank's samples of a global batch; sizes differ by at most one and may be 0 if the batch is smaller than the world.

    `before` samples of other sources are divided first, so that the sizes differ by at most one over all sources.
    """
    return indices[(rank - before) % size :: size]


def count_beside(n: int, batch: int, ratio: float) -> int:
    """Return the images that a source gives to each step: `ratio` for each of the labelled images in the largest batch of an
    epoch of `n`, rounded, at least 1."""
    return max(1, round(ratio * -(-n // steps_per_epoch(n, batch))))


def source_seed(seed: int, name: str) -> int:
    """Return the seed of the source or view `name`, below 2**31."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big") >> 1


class EndlessOrder:
    """The order of a source of `n` samples: position p is place p % n of the order of cycle p // n."""

    def __init__(self, n: int, seed: int) -> None:
        assert n > 0, "a source has at least one sample"
        self._n, self._seed = n, seed
        self._cycles: dict[int, Indices] = {}

    def batch(self, step: int, count: int) -> tuple[Indices, Indices]:
        """Return the samples of step `step` if each step takes `count`, and the cycle of each, both `(count,)`."""
        positions = np.arange(step * count, (step + 1) * count, dtype=np.int64)
        cycles = positions // self._n
        orders = {int(cycle): self._order(int(cycle)) for cycle in np.unique(cycles)}
        self._cycles = orders
        parts = [orders[int(cycle)][positions[cycles == cycle] % self._n] for cycle in np.unique(cycles)]
        return np.concatenate(parts), cycles

    def _order(self, cycle: int) -> Indices:
        return self._cycles[cycle] if cycle in self._cycles else epoch_order(self._n, self._seed, cycle)


def eval_batches(n: int, batch: int, rank: int, size: int) -> list[Indices]:
    """Return the rank's batches of `range(n)`: whole fixed batches, assigned round-robin, unpadded, each sample exactly once."""
    starts = range(rank * batch, n, size * batch)
    return [np.arange(start, min(start + batch, n), dtype=np.int64) for start in starts]


def class_weights(targets: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Return a weight per sample, `(n,)`, so that all classes present are drawn equally often; they sum to 1."""
    labels = np.asarray(targets, dtype=np.int64)
    counts = np.bincount(labels, minlength=classes)
    return 1.0 / (np.count_nonzero(counts) * counts[labels].astype(np.float64))
