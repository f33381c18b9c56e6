"""Labels whose errors depend on another label: missed more often where another label is absent, or seen falsely where it is present.

A model that takes one label for a sign of another errs so. Images with more labels are harder, so images are compared that have
equally many other labels (Mantel and Haenszel 1959). Pairs are found on validation and tested again on test, with p-values corrected
for their number, as in `raytl.metrics.slices`. A difference is a hint, not a proof: images may be harder for another reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Ints
from raytl.metrics.findings import Findings
from raytl.metrics.multiple import holm
from raytl.metrics.slices import LEVEL, LIMIT, MIN_IMAGES, Rate, rate

LABELS = 40
"""Labels that are paired, the most frequent ones: their number counts twice."""
Mask = NDArray[np.bool_]
Kind = Literal["missed without", "seen with"]


@dataclass(frozen=True, eq=False)
class Presence:
    """The labels that n images have (`present`), those that the model reports (`reported`), and those that are not known
    (`unknown`, None if all are), each `(n, labels)`."""

    present: Mask
    reported: Mask
    unknown: Mask | None = None


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
    """Return the labels of the images of `findings`; an unknown label is neither present nor reported."""
    size, wanted = (len(findings.score), labels), findings.wanted
    present, reported = np.zeros(size, bool), np.zeros(size, bool)
    present[wanted.image, wanted.label] = True
    reported[findings.image[findings.reported], findings.label[findings.reported]] = True
    return Presence(present, reported, findings.unknown)


def dependences(val: Presence, test: Presence) -> tuple[tuple[Dependence, ...], int]:
    """Return the pairs of labels that validation shows, the confirmed ones first, and the number of pairs that were compared."""
    candidates = list(_candidates(val))
    order = sorted(candidates, key=lambda each: each[1])[:LIMIT]
    worst = [(key, before, p) for key, p, before in order if p <= LEVEL]
    after = [_compared(test, *key) for key, _, _ in worst]
    p_test = holm([p if _is_large(each) else np.nan for each, p in after])
    result = [
        Dependence(*key, before, on_test, p, float(corrected))
        for (key, before, p), (on_test, _), corrected in zip(worst, after, p_test, strict=True)
    ]
    return tuple(sorted(result, key=lambda each: (not each.is_confirmed, each.p_val))), len(candidates)


def _candidates(val: Presence) -> Iterator[tuple[tuple[int, int, Kind], float, Rate]]:
    kinds: Sequence[Kind] = ("missed without", "seen with")
    common = np.argsort(-val.present.sum(axis=0), kind="stable")[:LABELS]
    for label, other in permutations(np.sort(common).tolist(), 2):
        for kind in kinds:
            each, p = _compared(val, label, other, kind)
            if _is_large(each):
                yield (label, other, kind), p, each


def _compared(split: Presence, label: int, other: int, kind: Kind) -> tuple[Rate, float]:
    """Return the errors about `label` among the images without `other` (with it for "seen with") and among the rest, and the p-value of "not more"
    over images with equally many other labels. Images of which one of both labels is unknown are left out."""
    is_missed = kind == "missed without"
    rows = split.present[:, label] == is_missed
    if split.unknown is not None:
        rows &= ~split.unknown[:, [label, other]].any(axis=1)
    errors, exposed = split.reported[rows, label] != is_missed, split.present[rows, other] != is_missed
    others = split.present[rows].sum(axis=1) - is_missed
    return rate(errors, exposed), p_of_excess(errors, exposed, others)


def p_of_excess(errors: Mask, inside: Mask, stratum: Ints) -> float:
    """Return the one-tailed p-value of the test of Mantel and Haenszel, with continuity correction: that errors fall on the images
    `inside` at random in each stratum; 1 if no stratum has both kinds of images and of answers. All arguments are `(n,)`."""
    excess = variance = 0.0
    for value in np.unique(stratum):
        own = stratum == value
        n, m, e = int(own.sum()), int(inside[own].sum()), int(errors[own].sum())
        if n > 1:
            excess += int((errors & inside)[own].sum()) - m * e / n
            variance += m * (n - m) * e * (n - e) / (n * n * (n - 1))
    return 0.5 * math.erfc((excess - 0.5) / math.sqrt(2 * variance)) if variance > 0 else 1.0


def _is_large(each: Rate) -> bool:
    return min(each.images, each.other_images) >= MIN_IMAGES
