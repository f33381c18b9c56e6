"""The probability of each label: its calibration error beside that of a perfectly calibrated model. A label occurs once in an
image, so images are independent decisions and the simulation is exact, unless they have groups: then groups change their sign.
Images in which a label is nearly excluded are no findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from raytl.assessment.section import Table
from raytl.assessment.texts import p_text, percent
from raytl.metrics.confusion import Ints
from raytl.metrics.draws import Groups
from raytl.metrics.findings import Findings
from raytl.metrics.miscalibration import SIMULATIONS, CalibrationError, hit_errors
from raytl.metrics.multiple import holm

LEVEL = 0.05
_LISTED = 30
_LABELS, _IMAGES = 100, 5000
"""Labels that are tested, those with the most findings, and findings of each (of more, a sample): both bound the time."""
_PER_LABEL = 25
"""Simulations for each label, so that a corrected p-value can be below 5 % with any number of labels."""


@dataclass(frozen=True, slots=True)
class LabelCalibration:
    """The findings of one label: their `count`, the mean `probability`, the fraction that is `present`, the error, and `p`, that
    of the error corrected for the number of labels."""

    name: str
    count: int
    probability: float
    present: float
    error: CalibrationError
    p: float

    @property
    def is_evidence(self) -> bool:
        """True if the probability of this label is not calibrated."""
        return self.p < LEVEL


def label_calibrations(
    findings: Findings, classes: Sequence[str], seed: int, groups: Groups | None = None
) -> list[LabelCalibration]:
    """Return the calibration of the labels that have a finding, the most evident error first; `groups (n,)` are those of images."""
    counts = np.bincount(findings.label, minlength=len(classes))
    tested = [i for i in np.argsort(-counts, kind="stable")[:_LABELS].tolist() if counts[i]]
    simulations, measured = max(SIMULATIONS, _PER_LABEL * len(tested)), []
    for number in sorted(tested):
        own = _sampled(np.flatnonzero(findings.label == number), seed)
        sure, present = findings.confidence[own].astype(np.float64), findings.correct[own]
        owners = None if groups is None else groups[findings.image[own]]
        error = hit_errors(present, sure, seed + number, simulations, owners)["ece"]
        measured.append((classes[number], int(counts[number]), float(sure.mean()), float(present.mean()), error))
    corrected = holm([row[-1].p for row in measured])
    rows = [LabelCalibration(*row, float(p)) for row, p in zip(measured, corrected, strict=True)]
    return sorted(rows, key=lambda each: (each.p, each.error.p, -each.error.value))


def _sampled(places: Ints, seed: int) -> Ints:
    """Return the places, of very many a sample."""
    return places if len(places) <= _IMAGES else np.random.default_rng(seed).choice(places, _IMAGES, replace=False)


def label_sentences(rows: Sequence[LabelCalibration]) -> Iterator[str]:
    """Yield which labels are not calibrated, and in which direction."""
    wrong = [each for each in rows if each.is_evidence]
    if not wrong:
        yield f"No evidence that the probability of any of the {len(rows):,} labels is wrong on test (corrected for their number)."
        return
    high, low = (
        [each.name for each in wrong if (each.probability > each.present) == is_high] for is_high in (True, False)
    )
    parts = [f"{way} for {_named(names)}" for way, names in (("too high", high), ("too low", low)) if names]
    yield f"The probability of {len(wrong):,} of {len(rows):,} labels is not calibrated on test: {' and '.join(parts)}."


def label_table(rows: Sequence[LabelCalibration]) -> Table:
    """Return the labels, those with the most evident error first."""
    cells = [
        (
            each.name,
            f"{each.count:,}",
            percent(each.probability),
            percent(each.present),
            f"{percent(each.error.value)} ({percent(each.error.mean)}, {percent(each.error.high)})",
            p_text(each.p) + ("*" if each.is_evidence else ""),
        )
        for each in rows[:_LISTED]
    ]
    head = (
        "label",
        "images",
        "probability",
        "present",
        "ECE (perfect: mean, 95 %)",
        "p (Holm; * = not calibrated)",
    )
    title = (
        f"The probability of each label on test{f': the {_LISTED} most evident errors' if len(rows) > _LISTED else ''}"
    )
    return Table(title, head, tuple(cells), (1, 2, 3, 4, 5))


def _named(names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names[:5]))
    return f"{listed} and {len(names) - 5:,} more" if len(names) > 5 else listed
