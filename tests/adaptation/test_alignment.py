"""After alignment both domains have the same moments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.adaptation.alignment import coral, standardized


def domain(seed: int, count: int = 300, width: int = 6) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width))


def covariance(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cov(features, rowvar=False, bias=True)


def test_coral_gives_the_source_the_moments_of_the_target() -> None:
    source, target = domain(0), domain(1, count=200)
    aligned = coral(source, target, ridge=1e-12)
    np.testing.assert_allclose(covariance(aligned), covariance(target), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(aligned.mean(axis=0), target.mean(axis=0), atol=1e-9)


def test_coral_of_equal_domains_changes_nothing() -> None:
    source = domain(2)
    np.testing.assert_allclose(coral(source, source), source, atol=1e-8)


def test_coral_with_fewer_images_than_features_is_finite() -> None:
    assert np.isfinite(coral(domain(0, count=4), domain(1, count=3))).all()


def test_standardized_columns_have_mean_0_and_variance_1_unless_constant() -> None:
    features = np.hstack([domain(3), np.full((300, 1), 7.0)])
    result = standardized(features)
    np.testing.assert_allclose(result.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(result.std(axis=0), [1] * 6 + [0])
