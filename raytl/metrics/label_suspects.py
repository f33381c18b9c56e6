"""Find labels that are probably missing or wrong: confident learning (Northcutt et al. 2021) for each label on its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raytl.metrics.finding_suspects import SuspectThing
from raytl.metrics.findings import Findings

_EVEN = 0.5


def label_suspects(findings: Findings) -> tuple[SuspectThing, ...]:
    """Return the suspect labels of images, the most suspect first.

    A label is missing if the images that lack it have it with a probability as high as those that have it do on average, and not
    there if the images that have it lack it with a probability as high as those that lack it do on average; both above one half.
    Images of which a label is no finding lack it surely. The score is the probability that speaks against the annotation.
    """
    labels = range(len(findings.thresholds))
    return tuple(
        sorted((each for label in labels for each in _of_label(findings, label)), key=lambda each: -each.score)
    )


def _of_label(findings: Findings, label: int) -> Iterator[SuspectThing]:
    wanted = findings.wanted
    present = np.flatnonzero(wanted.label == label)
    absent = np.flatnonzero((findings.label == label) & ~findings.correct)
    has, lacks = wanted.confidence[present], 1 - findings.confidence[absent]
    excluded = len(findings.score) - len(present) - len(absent)
    usual = float(has.mean()) if len(present) else np.inf
    usual_absence = (float(lacks.sum()) + excluded) / max(1, len(absent) + excluded)
    for place in absent[1 - lacks >= max(usual, _EVEN)].tolist():
        yield SuspectThing("missing", int(findings.image[place]), place, -1, float(findings.confidence[place]))
    for place in present[1 - has >= max(usual_absence, _EVEN)].tolist():
        yield SuspectThing("not there", int(wanted.image[place]), -1, place, float(1 - wanted.confidence[place]))
