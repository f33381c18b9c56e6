"""Find annotations of things that are probably wrong: missing, of another class, drawn badly, or of nothing.

After ObjectLab (Tkachenko et al. 2023), which ranks overlooked, swapped and badly located boxes by the confidence of a detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raytl.metrics.confusion import Floats
from raytl.metrics.findings import BACKGROUND, MISPLACED, WRONG_CLASS, Findings

LEAST = 0.5
"""The score from which an annotation is suspect."""
Kind = Literal["missing", "other class", "drawn badly", "not there"]
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

    - missing: a finding where nothing of its class is annotated; its confidence.
    - other class, drawn badly: a finding on a thing of another class, or beside one of its class, that is not found better;
      the difference of their confidences.
    - not there: a thing that nothing finds; how often things of its class and size are found, less the confidence that finds it.
    """
    listed = [*_missing(findings), *_contradicted(findings)]
    doubted = {each.wanted for each in listed}
    listed += [each for each in _never_found(findings) if each.wanted not in doubted]
    return tuple(sorted(listed, key=lambda each: -each.score))


def _missing(findings: Findings) -> Iterator[SuspectThing]:
    for place in np.flatnonzero(findings.reported & (findings.error == BACKGROUND) & (findings.confidence >= LEAST)):
        yield SuspectThing("missing", int(findings.image[place]), int(place), -1, float(findings.confidence[place]))


def _contradicted(findings: Findings) -> Iterator[SuspectThing]:
    """Yield the things that a finding contradicts, each with the most confident one."""
    seen: set[int] = set()
    for place in np.argsort(-findings.confidence, kind="stable").tolist():
        kind = next((name for error, name in _KINDS if findings.error[place] == error), None)
        wanted = int(findings.truth[place])
        if kind is None or wanted in seen:
            continue
        seen.add(wanted)
        score = float(findings.confidence[place] - findings.wanted.confidence[wanted])
        if score >= LEAST:
            yield SuspectThing(kind, int(findings.image[place]), place, wanted, score)


def _never_found(findings: Findings) -> Iterator[SuspectThing]:
    scores = _recalls(findings) - findings.wanted.confidence
    for place in np.flatnonzero(findings.missed & (scores >= LEAST)):
        yield SuspectThing("not there", int(findings.wanted.image[place]), -1, int(place), float(scores[place]))


def _recalls(findings: Findings) -> Floats:
    """Return for each wanted thing the fraction of those of its class and size that is found."""
    wanted = findings.wanted
    group = np.unique(np.stack([wanted.label, wanted.size]), axis=1, return_inverse=True)[1].ravel()
    return np.asarray((np.bincount(group, ~findings.missed) / np.maximum(np.bincount(group), 1))[group])
