"""Find annotations of things that are probably wrong: missing, of another class, drawn badly, drawn twice, or of nothing.

After ObjectLab (Tkachenko et al. 2023), which ranks overlooked, swapped and badly located boxes by the confidence of a detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats
from raytl.metrics.findings import BACKGROUND, MISPLACED, WRONG_CLASS, Findings

LEAST = 0.5
"""The score from which an annotation is suspect."""
TWICE = 0.5
"""The overlap of two annotated boxes of a class from which the one that is not found repeats the other."""
RARELY_MISSED = 0.9
"""The fraction of things of a class and size that is found, from which one that is not found may not be there."""
Kind = Literal["missing", "other class", "drawn badly", "annotated twice", "not there"]
KINDS: tuple[Kind, ...] = ("missing", "other class", "drawn badly", "annotated twice", "not there")
Boxes = NDArray[np.float32]
_KINDS: tuple[tuple[int, Kind], ...] = ((WRONG_CLASS, "other class"), (MISPLACED, "drawn badly"))


@dataclass(frozen=True, slots=True)
class SuspectThing:
    """One suspect annotation in `image`: the place of its `finding` and of its `wanted` thing (-1 without one), and its `score`
    in [0, 1], the highest the most suspect."""

    kind: Kind
    image: int
    finding: int
    wanted: int
    score: float


def suspect_things(findings: Findings) -> tuple[SuspectThing, ...]:
    """Return the suspect annotations, the most suspect first; each finding and each thing at most once.

    - missing: a finding where nothing is annotated; how often findings of its class are right that are as confident.
    - other class, drawn badly: a finding on a thing of another class, or beside one of its class, that is not found better;
      the difference of their confidences.
    - annotated twice, not there: a thing that nothing finds, on a box of its class that is found, or elsewhere, if nearly all
      things of its class and size are found; how often they are, less the confidence that finds it.
    """
    listed = [*_missing(findings), *_contradicted(findings)]
    contradicted = {each.wanted for each in listed}
    listed += [each for each in _never_found(findings) if each.wanted not in contradicted]
    return tuple(sorted(listed, key=lambda each: -each.score))


def _missing(findings: Findings) -> Iterator[SuspectThing]:
    scores = _precisions(findings)
    for place in np.flatnonzero(findings.reported & (findings.error == BACKGROUND) & (scores >= LEAST)):
        yield SuspectThing("missing", int(findings.image[place]), int(place), -1, float(scores[place]))


def _precisions(findings: Findings) -> Floats:
    """Return how often findings of the class of each are right that are as confident, by isotonic regression, `(m,)`."""
    from scipy.optimize import isotonic_regression  # takes most of a second to import

    precision, order = np.zeros(len(findings)), np.argsort(findings.confidence, kind="stable")
    for label in np.unique(findings.label):
        rows = order[findings.label[order] == label]
        precision[rows] = isotonic_regression(findings.correct[rows].astype(np.float64)).x
    return precision


def _contradicted(findings: Findings) -> Iterator[SuspectThing]:
    """Yield the things that a finding contradicts, each with the most confident one."""
    seen: set[int] = set()
    for place in np.argsort(-findings.confidence, kind="stable").tolist():
        kind = next((name for error, name in _KINDS if findings.error[place] == error), None)
        wanted = int(findings.truth[place])
        if kind is None or wanted < 0 or wanted in seen:
            continue
        seen.add(wanted)
        score = float(findings.confidence[place] - findings.wanted.confidence[wanted])
        if score >= LEAST:
            yield SuspectThing(kind, int(findings.image[place]), place, wanted, score)


def _never_found(findings: Findings) -> Iterator[SuspectThing]:
    wanted, recalls = findings.wanted, _recalls(findings)
    order = np.argsort(wanted.image, kind="stable")
    starts = np.searchsorted(wanted.image[order], np.arange(len(findings.score) + 1))
    scores = recalls - wanted.confidence
    missed = findings.missed
    for place in np.flatnonzero(missed & (scores >= LEAST)).tolist():
        beside = order[slice(*starts[wanted.image[place] :][:2])]
        others = beside[(wanted.label[beside] == wanted.label[place]) & ~missed[beside]]
        is_twice = (_overlaps(wanted.boxes[place], wanted.boxes[others]) >= TWICE).any()
        if not is_twice and recalls[place] < RARELY_MISSED:
            continue
        kind: Kind = "annotated twice" if is_twice else "not there"
        yield SuspectThing(kind, int(wanted.image[place]), -1, place, float(scores[place]))


def _overlaps(box: Boxes, others: Boxes) -> Floats:
    """Return the intersection over union of a box with each of the `others (n, 4)`; none without places."""
    if not len(box):
        return np.zeros(0)
    lengths = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = lengths.clip(0).astype(np.float64).prod(axis=1)
    areas = [(each[..., 2:] - each[..., :2]).astype(np.float64).prod(axis=-1) for each in (box, others)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-9))


def _recalls(findings: Findings) -> Floats:
    """Return for each wanted thing the fraction of those of its class and size that is found."""
    wanted = findings.wanted
    group = np.unique(np.stack([wanted.label, wanted.size]), axis=1, return_inverse=True)[1].ravel()
    return np.asarray((np.bincount(group, ~findings.missed) / np.maximum(np.bincount(group), 1))[group])
