"""Flip labels, and look for them among the first suspects."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.metrics.scores import softmax
from raytl.metrics.suspects import suspects
from raytl.models.frozen import left_out_probabilities

WRONG = 0.05
Ints = NDArray[np.int64]


def flipped(targets: Ints, seed: int, wrong: float = WRONG) -> tuple[Ints, Ints]:
    """Return the labels with the fraction `wrong` of them changed to another class at random, and the places of those."""
    rng, classes = np.random.default_rng(seed), int(targets.max()) + 1
    places = rng.permutation(len(targets))[: round(wrong * len(targets))]
    given = targets.copy()
    given[places] = (targets[places] + rng.integers(1, classes, len(places))) % classes
    return given, places


def planted(seed: int, wrong: float = WRONG) -> tuple[Ints, NDArray[np.float64], Ints]:
    """Return labels of four classes, some of them wrong, probabilities that know the true ones, and the wrong places."""
    truth = np.arange(4).repeat(100)
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(size=(400, 4)) + 4 * np.eye(4)[truth])
    given, places = flipped(truth, 10_000 + seed, wrong)
    return given, probabilities, places


def precision(given: Ints, probabilities: NDArray[np.float64], places: Ints) -> tuple[float, float]:
    """Return which fraction of the first k suspects is wrong for k wrong labels, and which fraction of those is a suspect."""
    listed = [each.place for each in suspects(given, probabilities)]
    first = listed[: len(places)]
    return float(np.isin(first, places).mean()) if first else 0.0, float(np.isin(places, listed).mean())


def measured(features: torch.Tensor, targets: Ints, draws: int) -> tuple[float, float]:
    """Return the mean `precision` over draws of flipped labels, with the classifier of `raytl report` and `raytl advise`."""
    results = []
    for seed in range(draws):
        given, places = flipped(targets, seed)
        results.append(precision(given, left_out_probabilities(features, given), places))
    first, listed = np.mean(results, axis=0).tolist()
    return first, listed
