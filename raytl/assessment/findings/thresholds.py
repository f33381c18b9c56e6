"""Section: from which confidence do findings keep a promise? Certified over validation images, confirmed on test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.curves import recall_chart
from raytl.assessment.findings.evidence import FindingEvidence
from raytl.assessment.section import Figure, Options, SectionResult, Table
from raytl.assessment.texts import bounds, percent
from raytl.metrics.aim import Aim
from raytl.metrics.certified import DELTA, Certificate, certified_presence, certified_recall, curve, is_confirmed
from raytl.metrics.certified_images import (
    ImageCertificate,
    certified_finding_recall,
    certified_precision,
    fractions,
    mean_fraction,
)
from raytl.metrics.finding_f1 import best_threshold, compared_f1
from raytl.metrics.findings import Findings
from raytl.metrics.intervals import Interval

PRECISIONS, PRECISION, RECALL = (0.8, 0.9, 0.95), 0.9, 0.9
"""Aims that every report tries: precisions of all findings, and the precision and recall of each class."""
_CLASSES, _PANELS = 30, 6
_CURVES = (
    "Precision by recall of the {count} classes with the lowest recall, over all {unit}s on the test split{intervals}."
)


@dataclass(frozen=True)
class _Outcome:
    """An aim for all classes or for `label`, its certificate, and on `test` the fraction that keeps it, averaged over images;
    `recall` is the fraction of all things on test that is found then."""

    aim: Aim
    label: int | None
    certificate: ImageCertificate
    test: Interval | None = None
    recall: float = np.nan

    @property
    def is_met(self) -> bool:
        """True if it is certified, and test has images that could contradict it, and do not."""
        return self.test is not None and is_confirmed(self.test, self.aim.value)

    def text(self, wanted: str) -> str:
        """Return the outcome as a sentence; `wanted` is a thing to find."""
        each, name = self.certificate, self.aim.text[:1].upper() + self.aim.text[1:]
        mean = "no image has any" if isnan(each.mean) else f"{percent(each.mean)} on average over {each.images:,}"
        if self.test is None:
            return (
                f"{name}: not with these validation images ({mean} at best); {each.needed:,} error-free ones would do."
            )
        verdict = (
            ""
            if self.is_met
            else " No test image can confirm it."
            if isnan(self.test.value)
            else " Test contradicts it."
        )
        return (
            f"{name}: from confidence {each.threshold:.3g} on, certified with {mean} validation images. On test "
            f"{percent(self.test.value)} ({percent(self.test.low)} to {percent(self.test.high)}), and {percent(self.recall)} of "
            f"the {wanted}s are found then.{verdict}"
        )


class FindingThresholdSection:
    """See `raytl.assessment.section.Section`."""

    name = "thresholds"
    needs_train = False

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the certified thresholds of the required aims, of usual ones, and of each class."""
        wanted, classes = evidence.kind.wanted, range(len(evidence.classes))
        required = [_required(aim, evidence) for aim in options.aims]
        usual = [_precision(Aim(value), None, evidence) for value in PRECISIONS if Aim(value) not in options.aims]
        precisions = [_precision(Aim(PRECISION), label, evidence) for label in classes]
        recalls = [_recall(Aim(RECALL, name), label, evidence) for label, name in enumerate(evidence.classes)]
        balance = _balance(evidence, options.seed) if evidence.kind.has_places else ((), None)
        certified = [sum(each.certificate.threshold is not None for each in part) for part in (precisions, recalls)]
        return SectionResult(
            title="Thresholds: from which confidence do findings keep a promise?",
            sentences=(
                *(each.text(wanted) for each in required),
                *balance[0],
                *(each.text(wanted) for each in usual),
                f"A precision of {percent(PRECISION)} is certified for {certified[0]:,} of {len(classes):,} classes, a recall "
                f"of {percent(RECALL)} for {certified[1]:,}.",
                _unit_text(evidence),
            ),
            tables=(_table(precisions, recalls, evidence),),
            figures=_figures(evidence),
            json={
                "delta": DELTA,
                "best_f1": balance[1],
                "aims": [
                    _plain(each, each in required, evidence.classes)
                    for each in (*required, *usual, *precisions, *recalls)
                ],
            },
            unmet=tuple(f"Aim not met: {each.text(wanted)}" for each in required if not each.is_met),
        )


SECTION = FindingThresholdSection()


def _unit_text(evidence: FindingEvidence) -> str:
    """Return what a promise counts."""
    unit = evidence.kind.unit
    text = f"Promises are averages over images: {unit}s of one image are not independent, so an image counts once, with its own fraction."
    return (
        text
        if evidence.kind.has_places
        else f"{text} A promise about one {unit} is tested exactly, as an image has it at most once."
    )


def _balance(evidence: FindingEvidence, seed: int) -> tuple[tuple[str, ...], dict[str, Any] | None]:
    """Return the threshold with the highest F1 on validation beside the model's own on test, as a sentence and as numbers."""
    threshold = best_threshold(evidence.val.findings)
    if isnan(threshold):
        return (), None
    before, after, gain = compared_f1(evidence.test.findings, threshold, seed)
    if isnan(gain.value):
        return (), None
    if gain.low == gain.high == 0:
        text = (
            f"F1 over all {evidence.kind.unit}s is {percent(after)} on test at the model's own threshold; the one with the highest "
            f"F1 on validation, {threshold:.3g}, reports the same."
        )
        return (text,), _balance_json(threshold, before, after, gain)
    verdict = (
        "" if gain.low > 0 else " Test does not show that it is better." if gain.high > 0 else " On test it is worse."
    )
    sentence = (
        f"F1 over all {evidence.kind.unit}s is highest on validation from confidence {threshold:.3g} on: {percent(after)} on "
        f"test, where the model's own threshold gives {percent(before)} (difference {100 * gain.value:+.1f} points, "
        f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}).{verdict}"
    )
    return (sentence,), _balance_json(threshold, before, after, gain)


def _balance_json(threshold: float, before: float, after: float, gain: Interval) -> dict[str, Any]:
    return {"threshold": threshold, "own": before, "best": after, "gain": asdict(gain)}


def _required(aim: Aim, evidence: FindingEvidence) -> _Outcome:
    if aim.recall_of is None:
        return _precision(aim, None, evidence)
    return _recall(aim, evidence.classes.index(aim.recall_of), evidence)


def _precision(aim: Aim, label: int | None, evidence: FindingEvidence) -> _Outcome:
    val, test = evidence.val.findings, evidence.test.findings
    own = _of(val.label, label)
    if label is None or evidence.kind.has_places:
        certificate = certified_precision(val.image[own], val.confidence[own], val.correct[own], aim.value)
    else:
        certificate = _exact(certified_presence(val.confidence[own], val.correct[own], aim.value))
    if certificate.threshold is None:
        return _Outcome(aim, label, certificate)
    taken = _of(test.label, label) & (test.confidence >= certificate.threshold)
    on_test = mean_fraction(fractions(test.image[taken], test.correct[taken]))
    return _Outcome(aim, label, certificate, on_test, _recall_from(test, label, certificate.threshold))


def _recall(aim: Aim, label: int, evidence: FindingEvidence) -> _Outcome:
    val, test = evidence.val.findings.wanted, evidence.test.findings.wanted
    own = val.label == label
    if evidence.kind.has_places:
        certificate = certified_finding_recall(val.image[own], val.confidence[own], aim.value)
    else:
        certificate = _exact(certified_recall(val.confidence[own], aim.value))
    if certificate.threshold is None:
        return _Outcome(aim, label, certificate)
    rows = test.label == label
    on_test = mean_fraction(fractions(test.image[rows], test.confidence[rows] >= certificate.threshold))
    return _Outcome(
        aim, label, certificate, on_test, _recall_from(evidence.test.findings, label, certificate.threshold)
    )


def _exact(each: Certificate) -> ImageCertificate:
    """Return the certificate of a class that is found at most once in an image: its images are independent trials."""
    mean = each.hits / each.trials if each.trials else np.nan
    return ImageCertificate(each.threshold, mean, each.trials, each.needed)


def _of(labels: NDArray[np.int64], label: int | None) -> NDArray[np.bool_]:
    return np.ones(len(labels), bool) if label is None else labels == label


def _recall_from(findings: Findings, label: int | None, threshold: float) -> float:
    own = _of(findings.wanted.label, label)
    return float((findings.wanted.confidence[own] >= threshold).mean()) if own.any() else np.nan


def _as_reported(findings: Findings, label: int) -> tuple[Interval, Interval]:
    """Return the precision and the recall of a class at the model's own threshold, averaged over images."""
    taken, rows = findings.reported & (findings.label == label), findings.wanted.label == label
    return (
        mean_fraction(fractions(findings.image[taken], findings.correct[taken])),
        mean_fraction(fractions(findings.wanted.image[rows], ~findings.missed[rows])),
    )


def _table(precisions: list[_Outcome], recalls: list[_Outcome], evidence: FindingEvidence) -> Table:
    """Return the classes, those with the lowest recall on test first, if they are many."""
    rows = []
    for label, parts in enumerate(zip(precisions, recalls, strict=True)):
        precision, recall = _as_reported(evidence.test.findings, label)
        certificates = [each.certificate for each in parts]
        texts = ["no" if each.threshold is None else f"{each.threshold:.3g}" for each in certificates]
        images = [f"{each.images:,}" for each in certificates]
        cells = (evidence.classes[label], bounds(precision), texts[0], images[0], bounds(recall), texts[1], images[1])
        rows.append((recall.value, cells))
    if len(rows) > _CLASSES:
        rows = sorted(rows, key=lambda row: row[0])[:_CLASSES]
    head = (
        "class",
        "precision, as reported",
        f"threshold for a precision of {percent(PRECISION)}",
        "validation images with findings",
        "recall, as reported",
        f"threshold for a recall of {percent(RECALL)}",
        "validation images with the class",
    )
    title = f"Classes on the test split{f': the {_CLASSES} with the lowest recall' if len(recalls) > _CLASSES else ''}"
    return Table(title, head, tuple(row for _, row in rows), tuple(range(1, 7)))


def _figures(evidence: FindingEvidence) -> tuple[Figure, ...]:
    test = evidence.test.findings
    counts = np.bincount(test.wanted.label, minlength=len(evidence.classes))
    missed = np.bincount(test.wanted.label, test.missed, len(evidence.classes)) / np.maximum(counts, 1)
    worst = [i for i in np.argsort(-missed, kind="stable").tolist() if counts[i] and (test.label == i).any()][:_PANELS]
    if not worst:
        return ()
    curves = {
        evidence.classes[i]: (curve(test.confidence[test.label == i], test.correct[test.label == i]), int(counts[i]))
        for i in worst
    }
    unit, is_exact = evidence.kind.unit, not evidence.kind.has_places
    intervals = (
        ", with exact 95 % intervals" if is_exact else f", without intervals: {unit}s of one image are not independent"
    )
    caption = _CURVES.format(count=len(curves), unit=unit, intervals=intervals)
    chart = recall_chart(curves, f"{evidence.kind.wanted}s", has_intervals=is_exact)
    return (Figure("precision-recall", "Precision by recall", caption, chart),)


def _plain(each: _Outcome, is_required: bool, classes: tuple[str, ...]) -> dict[str, Any]:
    test = None if each.test is None else [each.test.value, each.test.low, each.test.high]
    return {
        "recall_of": each.aim.recall_of,
        "precision_of": None if each.label is None or each.aim.recall_of else classes[each.label],
        "at_least": each.aim.value,
        "required": is_required,
        "threshold": each.certificate.threshold,
        "validation": {
            "mean": each.certificate.mean,
            "images": each.certificate.images,
            "needed": each.certificate.needed,
        },
        "test": test,
        "test_recall": each.recall,
        "met": each.is_met,
    }
