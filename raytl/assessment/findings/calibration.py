"""Section: is the confidence of findings right? The calibration error beside that of calibrated models that err by images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.findings.label_calibration import label_calibrations, label_sentences, label_table
from raytl.assessment.plots import banded_chart
from raytl.assessment.section import Figure, Options, SectionResult, Table
from raytl.assessment.texts import percent
from raytl.metrics.finding_calibration import LEAST_IMAGES, finding_error, finding_reliability
from raytl.metrics.findings import mean_by_images
from raytl.metrics.intervals import Interval
from raytl.metrics.miscalibration import CalibrationError

_CLASSES = 30
"""Classes in the table, those that are reported most often."""
_CAPTION = (
    "How often {unit}s on the test split are right, by their confidence. Gray: 95 % of calibrated models that err by {one}s as "
    "this one does lie inside. Dotted: as right as confident."
)
_HEAD = ("{unit}s", "number", "confidence", "right", "overconfident by (95 % interval)", "ECE (calibrated: mean, 95 %)")


@dataclass(frozen=True)
class _Measured:
    """Some findings: their `count`, mean `confidence`, and fraction that is `correct`, and how far they differ."""

    name: str
    count: int
    confidence: float
    correct: float
    gap: Interval
    ece: CalibrationError


class FindingCalibrationSection:
    """See `raytl.assessment.section.Section`."""

    name = "calibration"
    needs_train = False

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the calibration of what is reported on both splits, and by class on test."""
        val, test, unit = evidence.val.findings, evidence.test.findings, evidence.kind.unit
        rows = [
            _measured("validation, reported", evidence.val, val.reported, options.seed),
            _measured("test, reported", evidence.test, test.reported, options.seed),
            _measured("test, down to the lowest confidence", evidence.test, np.ones(len(test), bool), options.seed),
        ]
        counts = np.bincount(test.label[test.reported], minlength=len(evidence.classes))
        common = np.sort(np.argsort(-counts, kind="stable")[:_CLASSES]).tolist()
        classes = [
            _measured(evidence.classes[i], evidence.test, test.reported & (test.label == i), options.seed)
            for i in common
        ]
        labels = (
            []
            if evidence.kind.has_places
            else label_calibrations(test, evidence.classes, options.seed, evidence.test.sampling_groups)
        )
        return SectionResult(
            title="Calibration: is the confidence right?",
            sentences=(*_sentences(rows[1], evidence), *(label_sentences(labels) if labels else ())),
            tables=(
                _table("Findings", rows, unit),
                _table(f"Classes on test: reported {unit}s", classes, unit),
                *((label_table(labels),) if labels else ()),
            ),
            figures=(_figure(evidence.test, unit, options.seed),) if len(test) else (),
            json={
                "findings": [asdict(each) for each in rows],
                "classes": [asdict(each) for each in classes],
                "labels": [asdict(each) for each in labels],
            },
            warnings=_warnings(evidence),
        )


SECTION = FindingCalibrationSection()


def _measured(name: str, split: SplitFindings, taken: NDArray[np.bool_], seed: int) -> _Measured:
    findings = split.findings
    units, confidence, correct = (
        split.sampling_units(findings.image[taken]),
        findings.confidence[taken],
        findings.correct[taken],
    )
    return _Measured(
        name,
        len(units),
        float(confidence.mean()) if len(units) else np.nan,
        float(correct.mean()) if len(units) else np.nan,
        mean_by_images(units, confidence - correct, seed),
        finding_error(units, confidence, correct, seed),
    )


def _sentences(test: _Measured, evidence: FindingEvidence) -> Iterator[str]:
    unit, error = evidence.kind.unit, test.ece
    if not test.count:
        yield f"The model reports no {unit} on test."
        return
    images = _images(evidence)
    measured = (
        f"{test.count:,} {unit}s reported on {len(evidence.test):,} test images, confidence {percent(test.confidence)} on "
        f"average, {percent(test.correct)} right"
    )
    if images < LEAST_IMAGES:
        yield f"Calibration is not judged: {measured}."
        return
    measured += (
        f"; calibration error {percent(error.value)}, where calibrated models show {percent(error.mean)}, and up to "
        f"{percent(error.high)} by chance"
    )
    if not error.is_evidence:
        yield f"No evidence of miscalibration on test (p = {error.p:.2f}): {measured}."
        return
    yield f"The confidence is not calibrated on test (p = {error.p:.3f}): {measured}."
    if test.gap.low > 0:
        yield "It is overconfident: it is right less often than its confidence says."
    elif test.gap.high < 0:
        yield "It is underconfident: it is right more often than its confidence says."


def _images(evidence: FindingEvidence) -> int:
    """Return the number of test images, or of groups of them, in which anything is reported."""
    test = evidence.test.findings
    return len(np.unique(evidence.test.sampling_units(test.image[test.reported])))


def _warnings(evidence: FindingEvidence) -> tuple[str, ...]:
    images, unit = _images(evidence), evidence.kind.unit
    if not 0 < images < LEAST_IMAGES:
        return ()
    one, many = evidence.test.unit_names
    return (
        f"The confidence of {unit}s is not judged: {unit}s of one {one} err together, so it takes {LEAST_IMAGES} {many} with "
        f"reported {unit}s, and there are {images}.",
    )


def _table(title: str, rows: list[_Measured], unit: str) -> Table:
    cells = [
        (
            each.name,
            f"{each.count:,}",
            percent(each.confidence),
            percent(each.correct),
            _points(each.gap),
            f"{percent(each.ece.value)} ({percent(each.ece.mean)}, {percent(each.ece.high)})",
        )
        for each in rows
    ]
    return Table(title, tuple(each.format(unit=unit) for each in _HEAD), tuple(cells), (1, 2, 3, 4, 5))


def _points(gap: Interval) -> str:
    if np.isnan(gap.value):
        return "–"
    return f"{100 * gap.value:+.1f} points ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"


def _figure(split: SplitFindings, unit: str, seed: int) -> Figure:
    findings = split.findings
    result = finding_reliability(split.sampling_units(findings.image), findings.confidence, findings.correct, seed)
    return Figure(
        "reliability-band",
        "Reliability",
        _CAPTION.format(unit=unit, one=split.unit_names[0]),
        banded_chart(result, f"{unit}s"),
    )
