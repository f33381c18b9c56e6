"""Centroids correct a classifier that a shift of domain has biased."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.adaptation.centroids import centroid_similarities


def clusters(count: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    rng = np.random.default_rng(0)
    truth = np.arange(count) % classes
    return 4 * np.eye(8)[truth] + rng.normal(scale=0.4, size=(count, 8)), truth


def test_images_take_the_class_of_their_cluster() -> None:
    features, truth = clusters()
    unsure = np.full((len(truth), 3), 0.3)
    unsure[np.arange(len(truth)), truth] = 0.4
    flipped = unsure.copy()
    flipped[:20] = np.roll(unsure[:20], 1, axis=1)  # a third of the answers is wrong
    assert (flipped.argmax(axis=1) == truth).mean() == pytest.approx(2 / 3, abs=0.01)
    assert (centroid_similarities(features, flipped).argmax(axis=1) == truth).all()


def test_a_class_that_no_image_has_gets_none() -> None:
    features, truth = clusters()
    probabilities = np.hstack([np.eye(3)[truth], np.zeros((len(truth), 1))])
    similarities = centroid_similarities(features, probabilities)
    assert (similarities[:, 3] == -1).all() and (similarities.argmax(axis=1) == truth).all()


def test_the_order_of_the_images_decides_nothing() -> None:
    features, truth = clusters()
    order = np.random.default_rng(1).permutation(len(truth))
    probabilities = np.eye(3)[truth] * 0.7 + 0.1
    np.testing.assert_allclose(
        centroid_similarities(features, probabilities)[order],
        centroid_similarities(features[order], probabilities[order]),
        atol=1e-12,
    )
