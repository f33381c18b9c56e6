"""Pseudo-labels of a target domain from the centroids of its classes (SHOT, Liang et al. 2020)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 2


def centroid_similarities(
    features: NDArray[np.float64], probabilities: NDArray[np.float64], rounds: int = ROUNDS
) -> NDArray[np.float64]:
    """Return the cosine similarity of each image with the centroid of each class, `(m, k)`; -1 for a class without one.

    `features (m, d)` are those of the target, and `probabilities (m, k)` what a classifier of the source says of them. The
    first centroids are means weighted by the probabilities; those of later rounds are means of the images whose nearest
    centroid they were.
    """
    inputs = _unit(np.hstack([_unit(features), np.ones((len(features), 1))]))
    weights = probabilities
    for _ in range(rounds):
        mass = weights.sum(axis=0)
        centroids = _unit(weights.T @ inputs)
        similarities = np.where(mass > 1e-9, inputs @ centroids.T, -1.0)
        weights = np.eye(probabilities.shape[1])[similarities.argmax(axis=1)]
    return np.asarray(similarities)


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))
