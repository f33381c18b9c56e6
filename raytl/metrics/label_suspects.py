"""Find labels that are probably missing or wrong: confident learning (Northcutt et al. 2021) for each label on its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raytl.metrics.finding_suspects import SuspectThing
from raytl.metrics.findings import Findings
from raytl.metrics.suspects import suspects


def label_suspects(findings: Findings) -> tuple[SuspectThing, ...]:
    """Return the suspect labels of images, the most suspect first.

    They are those of `raytl.metrics.suspects.suspects` for the images that lack a label and that have it, without those of which it
    is unknown. Images of which a label is no finding lack it surely. The score is the probability that speaks against the annotation.
    """
    labels = range(len(findings.thresholds))
    return tuple(
        sorted((each for label in labels for each in _of_label(findings, label)), key=lambda each: -each.score)
    )


def _of_label(findings: Findings, label: int) -> Iterator[SuspectThing]:
    images = len(findings.score)
    probability, finding, thing = np.zeros(images), np.full(images, -1), np.full(images, -1)
    rows, things = np.flatnonzero(findings.label == label), np.flatnonzero(findings.wanted.label == label)
    finding[findings.image[rows]], thing[findings.wanted.image[things]] = rows, things
    probability[findings.image[rows]] = findings.confidence[rows]
    annotated = np.arange(images) if findings.unknown is None else np.flatnonzero(~findings.unknown[:, label])
    for each in suspects(thing[annotated] >= 0, np.stack([1 - probability, probability], axis=1)[annotated]):
        place, score = int(annotated[each.place]), 1 - each.probability
        if each.suggested:
            yield SuspectThing("missing", place, int(finding[place]), -1, score)
        else:
            yield SuspectThing("not there", place, -1, int(thing[place]), score)
