"""The threshold at which findings balance precision and recall: the highest F1 over all findings of a split."""

from __future__ import annotations

import numpy as np

from raytl.metrics.best_f1 import best_f1_threshold
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.findings import Findings
from raytl.metrics.intervals import RESAMPLES, Interval

_AT_ONCE = 2_000_000


def best_threshold(findings: Findings) -> float:
    """Return the confidence from which F1 is highest; the thresholds of the model do not count. NaN without a correct
    finding."""
    return best_f1_threshold(findings.confidence, findings.correct, len(findings.wanted))


def compared_f1(findings: Findings, threshold: float, seed: int = 0) -> tuple[float, float, Interval]:
    """Return the F1 at the thresholds of the model and at `threshold`, and the difference with its 95 % bootstrap interval over
    images; NaN where nothing is reported or wanted."""
    tables = [_counts(findings, findings.thresholds), _counts(findings, np.full(len(findings.thresholds), threshold))]
    count, rng = len(findings.score), np.random.default_rng(seed)
    step = max(1, _AT_ONCE // max(1, count))
    parts = []
    for start in range(0, RESAMPLES, step):
        draws = rng.integers(0, count, (min(step, RESAMPLES - start), count))
        own, other = (_f1(table[draws].sum(axis=1)) for table in tables)
        parts.append(other - own)
    drawn = np.concatenate(parts)
    defined = drawn[~np.isnan(drawn)]
    low, high = np.quantile(defined, (0.025, 0.975)).tolist() if len(defined) else (np.nan, np.nan)
    before, after = (float(_f1(table.sum(axis=0)[None])[0]) for table in tables)
    return before, after, Interval(after - before, low, high)


def _counts(findings: Findings, thresholds: Floats) -> Ints:
    """Return twice the hits of each image, and its findings and things, `(n, 2)`."""
    taken, count = findings.confidence >= thresholds[findings.label], len(findings.score)
    hits = np.bincount(findings.image[taken & findings.correct], minlength=count)
    reported = np.bincount(findings.image[taken], minlength=count)
    return np.stack([2 * hits, reported + np.bincount(findings.wanted.image, minlength=count)], axis=1)


def _f1(sums: Ints) -> Floats:
    return np.asarray(sums[:, 0] / np.where(sums[:, 1] > 0, sums[:, 1], np.nan))
