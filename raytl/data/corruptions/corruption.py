"""Represent one corruption as a value. Its bits depend only on the pixels, the sample, the corruption and the severity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raytl.data.images import Pixels

Apply = Callable[[Pixels, float, np.random.Generator], Pixels]
"""Return a new image from `(h, w, 3) uint8`, an amount, and random numbers; the image is not changed."""
SEVERITIES = (1, 2, 3)


@dataclass(frozen=True)
class Corruption:
    """One corruption: its `amounts` at the severities 1 to 3, in the unit that `about` names.

    `moves` is True if it moves pixels, so that boxes and masks no longer fit.
    """

    name: str
    about: str
    amounts: tuple[float, float, float]
    apply: Apply
    moves: bool = False

    def __call__(self, pixels: Pixels, severity: int, sample: str) -> Pixels:
        """Return `(h, w, 3)` pixels corrupted at a severity of 1 to 3; a new array."""
        assert severity in SEVERITIES, f"severity {severity}; expected 1, 2 or 3"
        return self.apply(pixels, self.amounts[severity - 1], random_numbers(sample, self.name))


def random_numbers(sample: str, corruption: str) -> np.random.Generator:
    """Return the random numbers of a sample (its key) under a corruption: the same in any order and on any worker.

    They are the same at each severity, so a higher one strengthens the same change: the noise is scaled, the same spots of
    dirt stay. Differences between severities are then not differences of luck.
    """
    digest = hashlib.blake2b(f"{corruption}\0{sample}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest, "little")))
