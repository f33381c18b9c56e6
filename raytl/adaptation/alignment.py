"""Align the features of two domains by their first and second moments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]
_RIDGE = 1e-6
"""Added to variances, relative to their mean, so that an inverse exists."""


def standardized(features: Features) -> Features:
    """Return `features (n, d)` with mean 0 and variance 1 in each column; constant columns become 0."""
    centered = features - features.mean(axis=0)
    scale = centered.std(axis=0)
    return np.asarray(centered / np.where(scale > 1e-12, scale, 1.0))


def coral(source: Features, target: Features, ridge: float = _RIDGE) -> Features:
    """Return `source (n, d)` with the mean and the covariance of `target (m, d)` (CORAL, Sun et al. 2016).

    `ridge`, relative to the mean variance of each domain, is added to the variances of both: with fewer images than
    features their covariances are singular.
    """
    whitened = (source - source.mean(axis=0)) @ _power(source, -0.5, ridge)
    return np.asarray(whitened @ _power(target, 0.5, ridge) + target.mean(axis=0))


def _power(features: Features, exponent: float, ridge: float) -> Features:
    """Return a power of the covariance of `features`."""
    covariance = np.cov(features, rowvar=False, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0) + ridge * max(float(values.mean()), 1e-12)
    return np.asarray((vectors * values**exponent) @ vectors.T)
