"""Choose a method of adaptation without labels of the target: how well the labels that it gives to the target lead back.

A classifier that learned from the target's pseudo-labels alone is scored on the labelled source images (reverse validation,
Zhong et al. 2010; Ganin et al. 2016). Wrong pseudo-labels teach a wrong classifier. The scores are of the same images for each method, so that
they are compared by a paired test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.adaptation.probe import probe_probabilities
from raytl.metrics.paired import Paired, paired_classes

METRIC = "balanced_accuracy"
NONE = "none"
SIGNIFICANCE = 0.025
"""One-tailed, divided by the number of methods (Bonferroni)."""
LEAST_GAIN = 0.02
"""A smaller gain in the reverse score is not worth another method."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method as it sees both domains: the features of labelled source images `(n, d)`, those of target images `(m, d)`, and
    the classes that it gives these, `(m,)`."""

    source: Floats
    target: Floats
    labels: Ints

    def reverse(self, count: int) -> Ints:
        """Return the class of each source image by a classifier that learned from the labels of the target alone, `(n,)`."""
        return np.asarray(probe_probabilities(self.target, self.labels, count, self.source).argmax(axis=1))


@dataclass(frozen=True)
class MethodChoice:
    """The chosen `method`, the reverse score of each, and what each gains over none."""

    method: str
    scores: Mapping[str, float]
    gains: Mapping[str, Paired]

    @property
    def reason(self) -> str:
        """Return the sentence that says why."""
        table = ", ".join(f"{name} {100 * score:.1f}" for name, score in self.scores.items())
        words = f"labelled images told right by what the target's pseudo-labels teach, in %: {table}"
        if self.method == NONE:
            return f"none: no other method is better beyond chance ({words})"
        gain = self.gains[self.method]
        return f"{self.method}: {100 * gain.gain:.1f} points more than none ({100 * gain.low:.1f} to {100 * gain.high:.1f}; {words})"


def chosen_method(candidates: Mapping[str, Candidate], classes: Ints, count: int) -> MethodChoice:
    """Return the one of `candidates` whose labels of the target, taught alone, tell the source images best: none, unless one
    gains more than noise.

    `none` is the first of them, with the labels of a classifier of the source; the source images are of `classes (n,)`, of
    `count`.
    """
    answers = {name: candidate.reverse(count) for name, candidate in candidates.items()}
    gains = {name: paired_classes(classes, answers[NONE], own, METRIC) for name, own in answers.items() if name != NONE}
    scores = {NONE: next(iter(gains.values())).before} | {name: gain.after for name, gain in gains.items()}
    better = [
        name
        for name, gain in gains.items()
        if gain.gain >= LEAST_GAIN and gain.low > 0 and gain.p_better * len(gains) <= SIGNIFICANCE
    ]
    return MethodChoice(max(better, key=lambda name: scores[name], default=NONE), scores, gains)
