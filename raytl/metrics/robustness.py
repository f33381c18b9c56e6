"""Compare a classifier's answers to changed images with those to the same images unchanged: accuracy, calibration, and tests.

Each change is tested by McNemar's exact test, one-tailed, and all p-values of a comparison are corrected by Holm's procedure:
at most 5 % of comparisons name a change that harms nothing. Scores of images are compared by random signs of their differences
instead (Fisher 1935), and their confidence by bootstrap draws of images with Bonferroni's correction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.binomial import fraction
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import ratio
from raytl.metrics.intervals import Interval
from raytl.metrics.miscalibration import CalibrationError, calibration_errors
from raytl.metrics.multiple import holm
from raytl.metrics.paired import mcnemar
from raytl.metrics.scores import softmax

LEVEL = 0.05
_DRAWS, _SIGNS = 5_000, 20_000
"""Bootstrap draws, and random signs of a test: the smallest p-value is 0.00005, a tenth of what 60 comparisons need at most."""
Logits = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers to one version of n images: `accuracy` with its exact 95 % interval, the mean `confidence`, and the calibration
    error beside that of a perfectly calibrated model.

    `gained` images are right only changed, `lost` ones only unchanged. `p` is the corrected p-value of the loss; 1 for the
    unchanged images.
    """

    accuracy: Interval
    confidence: float
    ece: CalibrationError
    gained: int = 0
    lost: int = 0
    p: float = 1.0

    @property
    def is_worse(self) -> bool:
        """True if the loss of accuracy is more than chance."""
        return self.p < LEVEL


def answered(targets: Ints, unchanged: Logits, changed: Sequence[Logits]) -> tuple[Answered, tuple[Answered, ...]]:
    """Return the answers to the unchanged images, and to each changed version of them, in order.

    `targets (n,)` are classes, logits `(n, classes)`, as calibrated as the model answers.
    """
    correct = [targets == logits.argmax(axis=1) for logits in (unchanged, *changed)]
    changes = [(int((~correct[0] & hits).sum()), int((correct[0] & ~hits).sum())) for hits in correct]
    p_values = holm([mcnemar(*each)[1] for each in changes[1:]]).tolist()
    first, *others = (
        Answered(
            fraction(int(hits.sum()), len(hits)),
            float(softmax(logits).max(axis=1).mean()),
            calibration_errors(targets, logits)["ece"],
            *change,
            p,
        )
        for logits, hits, change, p in zip((unchanged, *changed), correct, changes, [1.0, *p_values], strict=True)
    )
    return first, tuple(others)


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of one version of n images: their mean with its 95 % bootstrap interval over images, the mean `confidence` of the
    reported findings and the fraction that is `correct` (NaN without any).

    `p` is the corrected p-value of the loss; 1 for the unchanged images. `is_overconfident` says that confidence exceeds what is
    correct by more than for the unchanged images, and more than chance.
    """

    score: Interval
    confidence: float
    correct: float
    p: float = 1.0
    is_overconfident: bool = False

    @property
    def is_worse(self) -> bool:
        """True if the loss is more than chance."""
        return self.p < LEVEL


def scored(unchanged: Floats, changed: Sequence[Floats], seed: int = 0) -> tuple[Scored, tuple[Scored, ...]]:
    """Return the scores of the unchanged images, and of each changed version of them, in order, from their `image_sums (n, 4)`."""
    rng = np.random.default_rng(seed)
    count = len(unchanged)
    draws = rng.integers(0, count, (_DRAWS, count))
    signs = rng.choice([-1.0, 1.0], (_SIGNS, count))
    p_values = holm([_p_of_loss(unchanged[:, 0] - each[:, 0], signs) for each in changed]).tolist()
    gaps, level = _gaps(unchanged, draws), LEVEL / max(1, len(changed))
    excesses = [_gaps(each, draws) - gaps for each in changed]
    first, *others = (
        Scored(_mean(sums[:, 0], draws), *_fractions(sums), p, bool(np.quantile(_defined(excess), level) > 0))
        for sums, p, excess in zip((unchanged, *changed), [1.0, *p_values], [0 * gaps, *excesses], strict=True)
    )
    return first, tuple(others)


def _mean(scores: Floats, draws: Ints) -> Interval:
    low, high = np.quantile(scores[draws].mean(axis=1), (0.025, 0.975)).tolist()
    return Interval(float(scores.mean()), low, high)


def _fractions(sums: Floats) -> tuple[float, float]:
    """Return the mean confidence and the fraction that is correct of all findings."""
    reported, confidence, correct = sums[:, 1:].sum(axis=0).tolist()
    return (confidence / reported, correct / reported) if reported else (math.nan, math.nan)


def _gaps(sums: Floats, draws: Ints) -> Floats:
    """Return the mean confidence minus the fraction that is correct in each draw of images, `(r,)`; NaN without a finding."""
    reported, confidence, correct = (sums[:, column][draws].sum(axis=1) for column in (1, 2, 3))
    return ratio(confidence - correct, reported)


def _defined(values: Floats) -> Floats:
    defined = values[~np.isnan(values)]
    return defined if len(defined) else np.zeros(1)


def _p_of_loss(losses: Floats, signs: Floats) -> float:
    """Return the p-value of the mean loss: the fraction of random `signs (r, n)` that give as large a one."""
    extreme = int((signs @ losses >= losses.sum() - 1e-9).sum())
    return (1 + extreme) / (1 + len(signs))


def smallest_loss(comparisons: int) -> int:
    """Return the smallest number of lost images, without a gained one, that the test of so many comparisons can confirm."""
    return math.ceil(math.log2(comparisons / LEVEL) + 1e-9)
