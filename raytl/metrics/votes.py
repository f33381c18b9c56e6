"""Combine the labels of several noisy sources by their estimated confusions (Dawid & Skene 1979). Arithmetic on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats

MISSING = -1
_STEPS, _TOLERANCE = 200, 1e-7
_POOLED = 10.0
"""Images of each class by which a confusion is drawn to that of a source that errs evenly: a few votes would fit noise, and then
believe it."""
_FAIR = 0.1
"""Votes for each class with which a source begins: one with few votes is taken for a fair one."""
_TIE = 1e-6
_MIN_KNOWN = 20


@dataclass(frozen=True, eq=False)
class Sources:
    """The estimated `prior (classes,)` and the `confusions (sources, classes, classes)`: of the true class (row), how often a
    source names each one."""

    prior: Floats
    confusions: Floats

    @property
    def accuracies(self) -> Floats:
        """Return the estimated accuracy of each source, `(sources,)`."""
        return np.asarray(np.einsum("skk,k->s", self.confusions, self.prior))

    def posteriors(self, votes: NDArray[np.int64]) -> Floats:
        """Return the probability of each class for images with `votes (n, sources)`, `(n, classes)`; -1 is a missing vote."""
        scores = np.tile(np.log(self.prior), (len(votes), 1))
        for source, confusion in enumerate(np.log(self.confusions)):
            given = votes[:, source] != MISSING
            scores[given] += confusion[:, votes[given, source]].T
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def fitted_sources(votes: NDArray[np.int64], classes: int, truths: NDArray[np.int64] | None = None) -> Sources:
    """Return the sources estimated from `votes (n, sources)`, class indices or -1, by expectation maximization.

    It starts from the shares of the votes. `truths (n,)` has the true class of images where it is certain, else -1: these
    stay as they are, and with 20 or more of them it starts from the confusions there. A source that is wrong more often than right counts against the classes that it names.
    """
    truths = np.full(len(votes), MISSING) if truths is None else truths
    is_certain = truths != MISSING
    posteriors = _shares(votes, classes)
    if is_certain.sum() >= _MIN_KNOWN:
        posteriors = _maximized(votes[is_certain], np.eye(classes)[truths[is_certain]]).posteriors(votes)
    posteriors[is_certain] = np.eye(classes)[truths[is_certain]]
    sources = _maximized(votes, posteriors)
    for _ in range(_STEPS):
        updated = sources.posteriors(votes)
        updated[is_certain] = posteriors[is_certain]
        change = float(np.abs(updated - posteriors).max(initial=0.0))
        posteriors, sources = updated, _maximized(votes, updated)
        if change < _TOLERANCE:
            break
    return sources


def combined(posteriors: Floats, votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the likeliest class of each image with these `votes (n, sources)`, `(n,)`; -1 where its sources disagree and no class
    is likelier than all others together: such a label would be wrong more often than right."""
    some = votes.max(axis=1, keepdims=True)
    agree = (np.where(votes == MISSING, some, votes) == some).all(axis=1)
    return np.where(agree | (posteriors.max(axis=1) > 0.5 + _TIE), posteriors.argmax(axis=1), MISSING)


def _shares(votes: NDArray[np.int64], classes: int) -> Floats:
    """Return the share of each class in the votes for an image; the same for all classes without votes."""
    counts = np.stack([(votes == each).sum(axis=1) for each in range(classes)], axis=1) + 1e-3
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _maximized(votes: NDArray[np.int64], posteriors: Floats) -> Sources:
    classes = posteriors.shape[1]
    prior = posteriors.sum(axis=0) + _FAIR
    confusions = []
    for source in votes.T:
        named = np.eye(classes)[source[source != MISSING]]
        counts = posteriors[source != MISSING].T @ named
        correct = (np.trace(counts) + _FAIR * classes) / (counts.sum() + _FAIR * (2 * classes - 1))
        counts += _POOLED * _even(classes, correct)
        confusions.append(counts / counts.sum(axis=1, keepdims=True))
    return Sources(np.asarray(prior / prior.sum()), np.stack(confusions))


def _even(classes: int, correct: float) -> Floats:
    """Return the confusion of a source that is right with this probability, and else names each other class as often."""
    other = (1 - correct) / max(1, classes - 1)
    return np.full((classes, classes), other) + (correct - other) * np.eye(classes)
