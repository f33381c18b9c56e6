"""Compare a classifier's answers to changed images with those to the same images unchanged: accuracy, calibration, and tests.

Each change is tested by McNemar's exact test (of groups, by exact sign flips), one-tailed, and all p-values of a comparison are corrected by Holm's procedure:
at most 5 % of comparisons name a change that harms nothing. Scores of images are compared by random signs of their differences
instead (Fisher 1935), and their confidence by bootstrap draws of images with Bonferroni's correction. Images of a group (a patient,
a site) suffer together, so whole groups are swapped and drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import Groups, group_sums, ratio
from raytl.metrics.grouped import fraction_of
from raytl.metrics.intervals import Interval
from raytl.metrics.miscalibration import CalibrationError, calibration_errors
from raytl.metrics.multiple import holm
from raytl.metrics.scores import softmax
from raytl.metrics.sign_flips import flipped, net_changes

LEVEL = 0.05
_DRAWS, _SIGNS = 5_000, 20_000
"""Bootstrap draws, and random signs of a test: the smallest p-value is 0.00005, a tenth of what 60 comparisons need at most."""
_VALUES_AT_ONCE = 2_000_000
Logits = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers to one version of n images: `accuracy` with its 95 % interval (`fraction_of`), the mean `confidence`, and the
    calibration error beside that of a calibrated model.

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


def answered(
    targets: Ints, unchanged: Logits, changed: Sequence[Logits], groups: Groups | None = None
) -> tuple[Answered, tuple[Answered, ...]]:
    """Return the answers to the unchanged images, and to each changed version of them, in order.

    `targets (n,)` are classes, logits `(n, classes)`, as calibrated as the model answers; `groups (n,)` are those of the images.
    """
    correct = [targets == logits.argmax(axis=1) for logits in (unchanged, *changed)]
    changes = [(~correct[0] & hits, correct[0] & ~hits) for hits in correct]
    units = np.arange(len(targets)) if groups is None else groups
    p_values = holm([flipped(net_changes(*each, units))[1] for each in changes[1:]]).tolist()
    first, *others = (
        Answered(
            fraction_of(hits, groups),
            float(softmax(logits).max(axis=1).mean()),
            calibration_errors(targets, logits, groups=groups)["ece"],
            int(gained.sum()),
            int(lost.sum()),
            p,
        )
        for logits, hits, (gained, lost), p in zip(
            (unchanged, *changed), correct, changes, [1.0, *p_values], strict=True
        )
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


def scored(
    unchanged: Floats, changed: Sequence[Floats], seed: int = 0, groups: Groups | None = None
) -> tuple[Scored, tuple[Scored, ...]]:
    """Return the scores of the unchanged images, and of each changed version of them, in order, from their `image_sums (n, 4)`;
    `groups (n,)` are those of the images."""
    rng = np.random.default_rng(seed)
    versions = np.stack([unchanged, *changed])
    sums = _summed(versions, np.arange(len(unchanged)) if groups is None else groups)
    drawn = _drawn(sums, rng)
    p_values = holm(_p_of_losses(sums[0, :, 0] - sums[1:, :, 0], rng)).tolist()
    gaps, level = ratio(drawn[..., 2] - drawn[..., 3], drawn[..., 1]), LEVEL / max(1, len(changed))
    first, *others = (
        Scored(_mean(own[:, 0], means), *_fractions(own), p, bool(np.quantile(_defined(excess), level) > 0))
        for own, means, p, excess in zip(
            versions, drawn[..., 0] / drawn[..., 4], [1.0, *p_values], gaps - gaps[0], strict=True
        )
    )
    return first, tuple(others)


def _summed(versions: Floats, groups: Groups) -> Floats:
    """Return the sums over each group of `versions (v, n, 4)`, and last its number of images, `(v, groups, 5)`."""
    return np.stack([group_sums(np.column_stack([each, np.ones(len(each))]), groups) for each in versions])


def _drawn(versions: Floats, rng: np.random.Generator) -> Floats:
    """Return the sums over each draw of units of `versions (v, n, 5)`, `(v, _DRAWS, 5)`, computed in blocks that fit in memory."""
    count = versions.shape[1]
    draws = (rng.integers(0, count, (size, count)) for size in _block_sizes(_DRAWS, count))
    return np.concatenate([np.stack([each[block].sum(axis=1) for each in versions]) for block in draws], axis=1)


def _block_sizes(total: int, count: int) -> list[int]:
    """Return the sizes of the blocks in which `total` rows of `count` values are computed."""
    step = max(1, _VALUES_AT_ONCE // count)
    return [min(step, total - start) for start in range(0, total, step)]


def _mean(scores: Floats, means: Floats) -> Interval:
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return Interval(float(scores.mean()), low, high)


def _fractions(sums: Floats) -> tuple[float, float]:
    """Return the mean confidence and the fraction that is correct of all findings."""
    reported, confidence, correct = sums[:, 1:].sum(axis=0).tolist()
    return (confidence / reported, correct / reported) if reported else (math.nan, math.nan)


def _defined(values: Floats) -> Floats:
    defined = values[~np.isnan(values)]
    return defined if len(defined) else np.zeros(1)


def _p_of_losses(losses: Floats, rng: np.random.Generator) -> Floats:
    """Return the p-value of the mean of each of `losses (k, n)`, `(k,)`: the fraction of random signs that give as large a one."""
    count, extreme = losses.shape[1], np.zeros(len(losses))
    for size in _block_sizes(_SIGNS, count):
        signed = rng.choice([-1.0, 1.0], (size, count)) @ losses.T
        extreme += (signed >= losses.sum(axis=1) - 1e-9).sum(axis=0)
    return (1 + extreme) / (1 + _SIGNS)


def smallest_loss(comparisons: int) -> int:
    """Return the smallest number of lost images, or of groups that lose some, without a gain, that so many comparisons can confirm."""
    return math.ceil(math.log2(comparisons / LEVEL) + 1e-9)
