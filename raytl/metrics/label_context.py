"""Labels that depend on their company: missed more often where another label is absent, or seen falsely where it is present.

A model that takes one label for a sign of another errs so. Pairs are found on validation and tested again on test, with p-values
corrected for their number, as in `raytl.metrics.slices`. A difference is a hint, not a proof: images without the other label may be
harder for another reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.findings import Findings
from raytl.metrics.multiple import holm
from raytl.metrics.slices import LEVEL, LIMIT, MIN_IMAGES, Rate, p_of_rate, rate

Mask = NDArray[np.bool_]
Kind = Literal["missed without", "seen with"]


@dataclass(frozen=True, eq=False)
class Presence:
    """Which labels n images have (`present`), and which the model reports (`reported`), both `(n, labels)`."""

    present: Mask
    reported: Mask


@dataclass(frozen=True, slots=True)
class Dependence:
    """Errors about `label`: of the images that have it, more are missed without `other`; or of those that lack it, more are said to
    have it with `other`. `p_test` is corrected; NaN where test has too few such images."""

    label: int
    other: int
    kind: Kind
    val: Rate
    test: Rate
    p_val: float
    p_test: float

    @property
    def is_confirmed(self) -> bool:
        """True if test shows it."""
        return self.p_test <= LEVEL


def presence(findings: Findings, labels: int) -> Presence:
    """Return the labels of the images of `findings`; an unknown label counts as absent and as not reported."""
    size, wanted = (len(findings.score), labels), findings.wanted
    present, reported = np.zeros(size, bool), np.zeros(size, bool)
    present[wanted.image, wanted.label] = True
    reported[findings.image[findings.reported], findings.label[findings.reported]] = True
    return Presence(present, reported)


def dependences(val: Presence, test: Presence) -> tuple[tuple[Dependence, ...], int]:
    """Return the pairs of labels that validation shows, the confirmed ones first, and the number of pairs that were compared."""
    candidates = list(_candidates(val))
    order = sorted(candidates, key=lambda each: each[1])[:LIMIT]
    worst = [(key, before, p) for key, p, before in order if p <= LEVEL]
    after = [_rate(test, *key) for key, _, _ in worst]
    p_test = holm([p_of_rate(each) if _is_large(each) else np.nan for each in after])
    shown = [
        Dependence(*key, before, on_test, p, float(confirmed))
        for (key, before, p), on_test, confirmed in zip(worst, after, p_test, strict=True)
    ]
    return tuple(sorted(shown, key=lambda each: (not each.is_confirmed, each.p_val))), len(candidates)


def _candidates(val: Presence) -> Iterator[tuple[tuple[int, int, Kind], float, Rate]]:
    kinds: Sequence[Kind] = ("missed without", "seen with")
    for label, other in permutations(range(val.present.shape[1]), 2):
        for kind in kinds:
            each = _rate(val, label, other, kind)
            if _is_large(each):
                yield (label, other, kind), p_of_rate(each), each


def _rate(split: Presence, label: int, other: int, kind: Kind) -> Rate:
    """Return the errors about `label` among the images with the suspect company, and among the others."""
    is_missed = kind == "missed without"
    rows = split.present[:, label] == is_missed
    errors, company = split.reported[rows, label] != is_missed, split.present[rows, other] != is_missed
    return rate(errors, company)


def _is_large(each: Rate) -> bool:
    return min(each.images, each.other_images) >= MIN_IMAGES
