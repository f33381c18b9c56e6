"""Validate made images before they are believed: do they look real, and does a probe that learns them know real images better?

On frozen features, in seconds once these exist. The answer for a fine-tuned network may differ; it is a warning, not a gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.data.sample import Sample
from raytl.labelling.changes import LabelInputs
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.paired import Paired, paired_classes
from raytl.metrics.unfamiliar import auroc
from raytl.models.frozen import FOLDS, PENALTIES, Ridge, folds_of, held_out_scores
from raytl.tasks.probe_solver import even_rows

LARGEST = 2_000
"""Images of each kind that are compared: a dual problem of more takes minutes."""
FEWEST_PAIRS = 2 * FOLDS
"""Real and made images of the same classes below which nobody can tell whether they look alike."""
NOISE = 0.05
_LISTED = 10
_DOMAIN_PENALTY = 0.1


@dataclass(frozen=True)
class LabelledFeatures:
    """Images with features `(n, d)` and classes `(n,)`."""

    features: Tensor
    classes: Ints

    def rows(self, places: Ints) -> LabelledFeatures:
        """Return the images at `places`."""
        return LabelledFeatures(self.features[torch.from_numpy(places)], self.classes[places])


@dataclass(frozen=True)
class SyntheticFit:
    """The comparison of made images with real ones: `auc` of a classifier between them, 0.5 if they look alike, None if too few
    are of the same classes; the accuracy of a probe on real validation images that learned real images alone, and made ones too."""

    auc: float | None
    accuracy: Paired
    by_class: tuple[tuple[int, int, float, float], ...]
    """Class, its real validation images, and the accuracy on them without and with made images."""

    @property
    def verdict(self) -> str:
        """Return what the comparison says, beyond noise."""
        if self.accuracy.p_worse < NOISE:
            return "they harm: lower data.synthetic.share, or leave them out"
        if self.accuracy.p_better < NOISE:
            return "they help"
        return "no difference beyond noise; the simpler set has no made images"


def synthetic_fit(
    real: LabelledFeatures, synthetic: LabelledFeatures, val: LabelledFeatures, fraction: float, seed: int = 0
) -> SyntheticFit:
    """Return how `synthetic` images compare with `real` ones; the probe learns as many as make up this `fraction` of its images."""
    rng = np.random.default_rng(seed)
    auc = domain_auc(real, synthetic, rng)
    real = real.rows(even_rows(real.classes, LARGEST))
    count = 1 + int(max(each.classes.max() for each in (real, synthetic, val)))
    wanted = max(1, round(len(real.classes) * fraction / (1 - fraction)))
    learned = synthetic.rows(_sampled(len(synthetic.classes), min(LARGEST, wanted), rng))
    both = LabelledFeatures(
        torch.cat([real.features, learned.features]), np.concatenate([real.classes, learned.classes])
    )
    penalty = _penalty(real)
    before, after = (_answers(learned_from, val, count, penalty) for learned_from in (real, both))
    by_class = []
    for name in np.unique(val.classes).tolist():
        own = val.classes == name
        accuracies = [float((answers[own] == name).mean()) for answers in (before, after)]
        by_class.append((name, int(own.sum()), accuracies[0], accuracies[1]))
    compared = paired_classes(val.classes, before, after, "accuracy")
    return SyntheticFit(auc, compared, tuple(by_class))


def domain_auc(real: LabelledFeatures, synthetic: LabelledFeatures, rng: np.random.Generator) -> float | None:
    """Return the AUC of a cross-validated classifier between real and made images, as many of each in every class; None if these
    are fewer than `FEWEST_PAIRS`."""
    pairs = [_matched(real.classes, synthetic.classes, name, rng) for name in np.unique(synthetic.classes)]
    own, other = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    if len(own) < FEWEST_PAIRS:
        return None
    places = _sampled(len(own), LARGEST, rng)
    own, other = own[places], other[places]
    features = torch.cat([real.rows(own).features, synthetic.rows(other).features])
    domain = np.repeat([0, 1], [len(own), len(other)])
    scores = held_out_scores(features, domain, folds_of(domain), _DOMAIN_PENALTY)[""]
    says_made = scores[:, 1] - scores[:, 0]
    return auroc(says_made[domain == 0], says_made[domain == 1])


def synthetic_notes(inputs: LabelInputs, synthetic: Sequence[Sample]) -> tuple[str, ...]:
    """Return what to say of the made images of an experiment, before it is trained."""
    solver, key = inputs.task.head_solver, "data.synthetic"
    targets_of = None if solver is None else solver.targets_of
    if targets_of is None:
        return (f"{key}: not compared with real images: this takes one class an image",)
    if not len(inputs.val) or min(len(inputs.train), len(synthetic)) < FOLDS * 2:
        return (f"{key}: not compared with real images: too few of them to tell",)
    real, others, val = (
        LabelledFeatures(inputs.features(samples), targets_of(samples, inputs.classes))
        for samples in (inputs.train, synthetic, inputs.val)
    )
    fit = synthetic_fit(real, others, val, inputs.experiment.data.synthetic.share or 0.5)
    return (in_words(fit, inputs.classes, key),)


def in_words(fit: SyntheticFit, classes: Sequence[str], key: str) -> str:
    """Return the comparison in lines, with the classes that changed most."""
    score = fit.accuracy
    lines = [
        f"{key}: cannot tell whether made images look like real ones: fewer than {FEWEST_PAIRS} real images of their classes"
        if fit.auc is None
        else f"{key}: on frozen features, a classifier tells made from real images with AUC {fit.auc:.2f} (0.5 = they look alike)",
        f"  a probe is right on {100 * score.before:.1f} % of {sum(row[1] for row in fit.by_class)} real validation images "
        f"without made images, on {100 * score.after:.1f} % with them (95 % {100 * score.low:+.1f} to {100 * score.high:+.1f}): "
        f"{fit.verdict}",
    ]
    changed = sorted(fit.by_class, key=lambda row: row[3] - row[2])
    listed = changed if len(changed) <= _LISTED else [*changed[: _LISTED // 2], *changed[-_LISTED // 2 :]]
    lines += [f"  {classes[i]}: {100 * before:.0f} -> {100 * after:.0f} % of {n}" for i, n, before, after in listed]
    return "\n".join(lines)


def _matched(real: Ints, synthetic: Ints, name: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return as many places of real as of made images of a class."""
    own, other = np.flatnonzero(real == name), np.flatnonzero(synthetic == name)
    count = min(len(own), len(other))
    return rng.permutation(own)[:count], rng.permutation(other)[:count]


def _penalty(real: LabelledFeatures) -> float:
    """Return the penalty with which a probe of the real images is right on most of those left out."""
    classes = np.unique(real.classes, return_inverse=True)[1]
    fold = folds_of(classes)

    def accuracy(penalty: float) -> float:
        scores: NDArray[np.float64] = held_out_scores(real.features, classes, fold, penalty)[""]
        return float((scores.argmax(axis=1) == classes).mean())

    return max(PENALTIES, key=accuracy)


def _answers(learned_from: LabelledFeatures, val: LabelledFeatures, count: int, penalty: float) -> Ints:
    scores: Floats = Ridge(learned_from.features.double(), learned_from.classes, count, penalty)(val.features.double())
    answers: Ints = scores.argmax(axis=1)
    return answers


def _sampled(count: int, limit: int, rng: np.random.Generator) -> Ints:
    return np.sort(rng.permutation(count)[:limit]).astype(np.int64)
