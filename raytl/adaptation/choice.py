"""Choose a method of adaptation without labels of the target: how well the labels that it gives to the target lead back.

A classifier that learned from the target's pseudo-labels alone is scored on the labelled source images (reverse validation,
Zhong et al. 2010; Ganin et al. 2016). Wrong pseudo-labels teach a wrong classifier. The scores are of the same images for each method, so that
they are compared by a paired test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from raytl.adaptation.centroids import centroid_similarities
from raytl.adaptation.probe import probe_probabilities
from raytl.metrics.paired import Paired, paired_classes
from raytl.models.frozen import folds_of

METRIC = "balanced_accuracy"
NONE = "none"
SIGNIFICANCE = 0.025
"""One-tailed, divided by the number of methods (Bonferroni)."""
LEAST_GAIN = 0.1
"""A smaller gain in the reverse score is within what other draws of the target's images change."""
LEAST_AGREEMENT = 0.8
"""Below it the target may show something else: images of other things have 0.65 to 0.72, shifted ones that adaptation helps
0.9 to 1 (experiments/bench/adaptation.py)."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method as it sees both domains: the features of labelled source images `(n, d)`, those of target images `(m, d)`, and
    the classes that it gives these, `(m,)`."""

    source: Floats
    target: Floats
    labels: Ints
    agreement: float = 1.0
    """See `agreement`."""

    def part(self, first: int) -> Candidate:
        """Return the candidate with every second target image, from `first` on."""
        return replace(self, target=self.target[first::2], labels=self.labels[first::2])

    def reverse(self, count: int) -> Ints:
        """Return the class of each source image by a classifier that learned from the labels of the target alone, `(n,)`."""
        return np.asarray(probe_probabilities(self.target, self.labels, count, self.source).argmax(axis=1))


@dataclass(frozen=True, eq=False)
class Labelled:
    """The features `(n, d)` of images, and their classes `(n,)`."""

    features: Floats
    classes: Ints


@dataclass(frozen=True)
class MethodChoice:
    """The chosen `method`, the reverse score of each, and what each gains over none."""

    method: str
    scores: Mapping[str, float]
    gains: Mapping[str, Paired]
    strange: bool = False
    """True if no method was considered, as the target may show something else."""
    val: Paired | None = None
    """What the method that they choose gains on validation images; None if it is none, or there are none."""

    @property
    def reason(self) -> str:
        """Return the sentence that says why."""
        table = ", ".join(f"{name} {100 * score:.1f}" for name, score in self.scores.items())
        words = f"accuracy on labelled images of what the target's pseudo-labels teach, in %: {table}"
        if self.val is not None:
            words += f"; on validation {100 * self.val.before:.1f} without and {100 * self.val.after:.1f} with it"
        if self.method == NONE and self.val is not None:
            return f"none: the method that is better by the labels of the target loses on validation ({words})"
        if self.strange:
            return f"none: classifier and centroids disagree on the target, which may show something else; label some ({words})"
        if self.method == NONE:
            return f"none: no other method is better beyond chance ({words})"
        gain = self.gains[self.method]
        return f"{self.method}: {100 * gain.gain:.1f} points more than none ({100 * gain.low:.1f} to {100 * gain.high:.1f}; {words})"


def agreement(source: Floats, classes: Ints, target: Floats, count: int) -> float:
    """Return how often a classifier of the source and the nearest centroids agree on target images `(m, d)`, over how often
    they do on source images `(n, d)` that the classifier did not learn from."""
    learn = folds_of(classes, 2) == 0
    held_out = _agreed(source[learn], classes[learn], source[~learn], count)
    return _agreed(source, classes, target, count) / max(held_out, 1e-9)


def _agreed(source: Floats, classes: Ints, others: Floats, count: int) -> float:
    answers = probe_probabilities(source, classes, count, others)
    return float((centroid_similarities(others, answers).argmax(axis=1) == answers.argmax(axis=1)).mean())


def chosen_method(candidates: Mapping[str, Candidate], classes: Ints, count: int) -> MethodChoice:
    """Return the one of `candidates` whose labels of the target, taught alone, tell the source images best: none, unless one
    gains more than noise, with all images of the target and with each half of them.

    `none` is the first of them, with the labels of a classifier of the source; the source images are of `classes (n,)`, of
    `count`.
    """
    gains = _gains(candidates, classes, count)
    halves = [_gains({name: one.part(first) for name, one in candidates.items()}, classes, count) for first in (0, 1)]
    scores = {NONE: next(iter(gains.values())).before} | {name: gain.after for name, gain in gains.items()}
    better = [
        name
        for name in gains
        if candidates[name].agreement >= LEAST_AGREEMENT
        and all(
            each[name].gain >= LEAST_GAIN and each[name].p_better * len(gains) <= SIGNIFICANCE
            for each in (gains, *halves)
        )
    ]
    strange = not better and all(candidates[name].agreement < LEAST_AGREEMENT for name in gains)
    return MethodChoice(max(better, key=lambda name: scores[name], default=NONE), scores, gains, strange=strange)


def _gains(candidates: Mapping[str, Candidate], classes: Ints, count: int) -> dict[str, Paired]:
    """Return what each candidate gains over none on the source images."""
    answers = {name: candidate.reverse(count) for name, candidate in candidates.items()}
    return {name: paired_classes(classes, answers[NONE], own, METRIC) for name, own in answers.items() if name != NONE}


def confirmed(choice: MethodChoice, train: Labelled, target: Labelled, val: Labelled, count: int) -> MethodChoice:
    """Return `choice`, or none if its method loses on the validation images beyond chance.

    A classifier learns from `train`, with and without the images of the `target` with the classes that the method gave them.
    Validation images of the target make this a test of the adaptation, those of the source one of its price.
    """
    both = np.vstack([train.features, target.features]), np.concatenate([train.classes, target.classes])
    before = probe_probabilities(train.features, train.classes, count, val.features).argmax(axis=1)
    after = probe_probabilities(*both, count, val.features).argmax(axis=1)
    gain = paired_classes(val.classes, before, after, METRIC)
    return replace(choice, val=gain, method=NONE if gain.p_worse <= SIGNIFICANCE else choice.method)
