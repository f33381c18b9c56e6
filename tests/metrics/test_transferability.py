"""The published LogME (github.com/thuml/LogME, commit 3a08950) gives the same value to 1e-8 with 200 images of 20 and of 50
features; with 60 images of 100 features it adds 2.04, the directions without data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf_shrinkage

from raytl.metrics.transferability import h_score, ledoit_wolf, log_evidence


def _blobs(count: int, width: int, distance: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count + width)
    classes = np.arange(count) % 3
    return rng.normal(size=(count, width)) + distance * np.eye(3, width)[classes], classes


def _evidence(features: np.ndarray, wanted: np.ndarray) -> float:
    """The log density of the labels per image, at the best precisions of the prior and the noise."""

    def loss(logs: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        covariance = features @ features.T / alpha + np.eye(len(wanted)) / beta
        return -float(multivariate_normal.logpdf(wanted, np.zeros(len(wanted)), covariance)) / len(wanted)

    return -float(minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).fun)


@pytest.mark.parametrize(("count", "width"), [(30, 4), (24, 40)])
def test_logme_is_the_highest_evidence_of_a_bayesian_regression(count: int, width: int) -> None:
    features, classes = _blobs(count, width)
    exact = np.mean([_evidence(features, (classes == name).astype(float)) for name in range(3)])
    assert log_evidence(features, classes) == pytest.approx(exact, abs=2e-3)


def test_the_h_score_by_hand() -> None:
    features = [[0.0], [2.0], [4.0], [6.0]]  # variance 5, means 1 and 5 of variance 4
    assert h_score(features, [0, 0, 1, 1], shrinkage=0.0) == pytest.approx(4 / 5)
    assert h_score(features, [0, 1, 0, 1], shrinkage=0.0) == pytest.approx(1 / 5)


def test_with_fewer_images_than_features_only_the_shrunk_h_score_tells_features_from_noise() -> None:
    features, classes = _blobs(60, 100, 4.0)
    noise = np.random.default_rng(0).normal(size=(60, 100))
    assert h_score(features, classes, 0.0) == pytest.approx(2.0) == h_score(noise, classes, 0.0)
    assert h_score(features, classes) > 2 * h_score(noise, classes)


@pytest.mark.parametrize("width", [10, 100])
def test_the_shrinkage_is_that_of_scikit_learn(width: int) -> None:
    table = np.random.default_rng(0).normal(size=(30, width)) * np.linspace(1, 5, width)
    centered = table - table.mean(axis=0)
    assert ledoit_wolf(centered, centered.T @ centered / 30) == pytest.approx(ledoit_wolf_shrinkage(table))


def test_better_features_score_higher_and_labels_may_have_gaps() -> None:
    far, classes = _blobs(90, 12, 4.0)
    near, _ = _blobs(90, 12, 0.5)
    for score in (log_evidence, h_score):
        assert score(far, classes) > score(near, classes)
        assert score(far, classes * 5 + 2) == pytest.approx(score(far, classes))


def test_constant_features_score_and_do_not_fail() -> None:
    assert np.isfinite(log_evidence(np.ones((6, 3)), [0, 0, 0, 1, 1, 1]))
    assert h_score(np.ones((6, 3)), [0, 0, 0, 1, 1, 1]) == pytest.approx(0.0)
