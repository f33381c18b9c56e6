"""Section: from which confidence do findings keep a promise? Certified over validation images, confirmed on test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.curves import recall_chart
from raytl.assessment.findings.evidence import FindingEvidence, SplitFindings
from raytl.assessment.section import Figure, Options, SectionResult, Table
from raytl.assessment.texts import bounds, confidence_text, percent
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
from raytl.tasks.findings import FindingKind

PRECISIONS, PRECISION, RECALL = (0.8, 0.9, 0.95), 0.9, 0.9
"""Aims that every report tries: precisions of all findings, and the precision and recall of each class."""
_CLASSES, _PANELS = 30, 6
_CURVES = "Precision by recall of the {count} classes with the lowest recall on test, over all {unit}s on the test split{intervals}."


@dataclass(frozen=True)
class _Outcome:
    """An aim for all classes or for `label`, its certificate, and on `test` the fraction that keeps it, averaged over images;
    `recall` is the fraction of all things on test that is found then. `unit` is what counts once."""

    aim: Aim
    label: int | None
    certificate: ImageCertificate
    test: Interval | None = None
    recall: float = np.nan
    unit: str = "images"

    @property
    def is_met(self) -> bool:
        """True if it is certified, and test has images that could contradict it, and do not."""
        return self.test is not None and is_confirmed(self.test, self.aim.value)

    def text(self, kind: FindingKind) -> str:
        """Return the outcome as a sentence."""
        each, aim = self.certificate, self.aim
        name = (
            f"{'Precision' if aim.recall_of is None else f'Recall of {aim.recall_of!r}'} at least {percent(aim.value)}"
        )
        if each.threshold is None or self.test is None:
            return f"{name}: {self._shortage(kind)}; {each.needed:,} {self.unit} without an error would do."
        verdict = (
            ""
            if self.is_met
            else " No test image can confirm it."
            if isnan(self.test.value)
            else " Test contradicts it."
        )
        return (
            f"{name}: from confidence {confidence_text(each.threshold)} on, certified with {percent(each.mean)} on average over "
            f"{each.images:,} validation {self.unit}. On test {percent(self.test.value)} ({percent(self.test.low)} to {percent(self.test.high)}), and {percent(self.recall)} of "
            f"the {kind.wanted}s are found then.{verdict}"
        )

    def _shortage(self, kind: FindingKind) -> str:
        """Return why no threshold is certified."""
        each = self.certificate
        if not each.images:
            return f"no validation image has {'any ' + kind.unit if self.aim.recall_of is None else 'the class'}"
        return f"not certified with these validation {self.unit} (best: {percent(each.mean)} on average over {each.images:,})"


class FindingThresholdSection:
    """See `raytl.assessment.section.Section`."""

    name = "thresholds"
    needs_train = False

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the certified thresholds of the required aims, of usual ones, and of each class."""
        kind, classes = evidence.kind, range(len(evidence.classes))
        required = [_required(aim, evidence) for aim in options.aims]
        usual = [_precision(Aim(value), None, evidence) for value in PRECISIONS if Aim(value) not in options.aims]
        precisions = [_precision(Aim(PRECISION), label, evidence) for label in classes]
        recalls = [_recall(Aim(RECALL, name), label, evidence) for label, name in enumerate(evidence.classes)]
        balance = _balance(evidence, options.seed) if kind.has_places else ((), None)
        certified = [sum(each.certificate.threshold is not None for each in part) for part in (precisions, recalls)]
        return SectionResult(
            title="Thresholds: from which confidence do findings keep a promise?",
            sentences=(
                *(each.text(kind) for each in required),
                *balance[0],
                *(each.text(kind) for each in usual),
                f"A precision of {percent(PRECISION)} is certified for {certified[0]:,} of {len(classes):,} classes, a recall "
                f"of {percent(RECALL)} for {certified[1]:,}; each "
                f"promise taken alone fails with a chance of {percent(DELTA)} at most.",
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
            unmet=tuple(f"Aim not met: {each.text(kind)}" for each in required if not each.is_met),
        )


SECTION = FindingThresholdSection()


def _unit_text(evidence: FindingEvidence) -> str:
    """Return what a promise counts."""
    unit = evidence.kind.unit
    if evidence.val.groups is not None:
        return (
            f"Promises are averages over groups of images: {unit}s and images of one group are not independent, so a group counts "
            "once, with its own fraction."
        )
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
            f"F1 on validation, {confidence_text(threshold)}, reports the same."
        )
        return (text,), _balance_json(threshold, before, after, gain)
    verdict = (
        "" if gain.low > 0 else " On test it is worse." if gain.high < 0 else " Test does not show that it is better."
    )
    sentence = (
        f"F1 over all {evidence.kind.unit}s is highest on validation from confidence {confidence_text(threshold)} on: {percent(after)} "
        f"on test, where the model's own threshold gives {percent(before)} (difference {100 * gain.value:+.1f} points, "
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
    if label is None or not _is_exact(evidence):
        units = evidence.val.units(val.image[own])
        certificate = certified_precision(units, val.confidence[own], val.correct[own], aim.value)
    else:
        certificate = _exact(certified_presence(val.confidence[own], val.correct[own], aim.value))
    if certificate.threshold is None:
        return _Outcome(aim, label, certificate, unit=_unit(evidence))
    taken = _of(test.label, label) & (test.confidence >= certificate.threshold)
    on_test = mean_fraction(fractions(evidence.test.units(test.image[taken]), test.correct[taken]))
    return _Outcome(aim, label, certificate, on_test, _recall_from(test, label, certificate.threshold), _unit(evidence))


def _recall(aim: Aim, label: int, evidence: FindingEvidence) -> _Outcome:
    val, test = evidence.val.findings.wanted, evidence.test.findings.wanted
    own = val.label == label
    if not _is_exact(evidence):
        certificate = certified_finding_recall(evidence.val.units(val.image[own]), val.confidence[own], aim.value)
    else:
        certificate = _exact(certified_recall(val.confidence[own], aim.value))
    if certificate.threshold is None:
        return _Outcome(aim, label, certificate, unit=_unit(evidence))
    rows = test.label == label
    is_high = test.confidence[rows] >= certificate.threshold
    on_test = mean_fraction(fractions(evidence.test.units(test.image[rows]), is_high))
    recall = _recall_from(evidence.test.findings, label, certificate.threshold)
    return _Outcome(aim, label, certificate, on_test, recall, _unit(evidence))


def _is_exact(evidence: FindingEvidence) -> bool:
    """Return True if images with a class are independent trials: it is in an image at most once, and there are no groups."""
    return not evidence.kind.has_places and evidence.val.groups is None


def _unit(evidence: FindingEvidence) -> str:
    return "images" if evidence.val.groups is None else "groups of images"


def _exact(each: Certificate) -> ImageCertificate:
    """Return the certificate of a class that is found at most once in an image: its images are independent trials."""
    mean = each.hits / each.trials if each.trials else np.nan
    return ImageCertificate(each.threshold, mean, each.trials, each.needed)


def _of(labels: NDArray[np.int64], label: int | None) -> NDArray[np.bool_]:
    return np.ones(len(labels), bool) if label is None else labels == label


def _recall_from(findings: Findings, label: int | None, threshold: float) -> float:
    own = _of(findings.wanted.label, label)
    return float((findings.wanted.confidence[own] >= threshold).mean()) if own.any() else np.nan


def _as_reported(split: SplitFindings, label: int) -> tuple[Interval, Interval]:
    """Return the precision and the recall of a class at the model's own threshold, averaged over images or groups."""
    findings = split.findings
    taken, rows = findings.reported & (findings.label == label), findings.wanted.label == label
    return (
        mean_fraction(fractions(split.units(findings.image[taken]), findings.correct[taken])),
        mean_fraction(fractions(split.units(findings.wanted.image[rows]), ~findings.missed[rows])),
    )


def _table(precisions: list[_Outcome], recalls: list[_Outcome], evidence: FindingEvidence) -> Table:
    """Return the classes, those with the lowest recall on test first, if they are many."""
    rows = []
    for label, parts in enumerate(zip(precisions, recalls, strict=True)):
        precision, recall = _as_reported(evidence.test, label)
        certificates = [each.certificate for each in parts]
        texts = ["no" if each.threshold is None else confidence_text(each.threshold) for each in certificates]
        images = [f"{each.images:,}" for each in certificates]
        cells = (evidence.classes[label], bounds(precision), texts[0], images[0], bounds(recall), texts[1], images[1])
        rows.append((recall.value, cells))
    if len(rows) > _CLASSES:
        rows = sorted(rows, key=lambda row: row[0])[:_CLASSES]
    head = (
        "class",
        "precision, as reported",
        f"threshold for a precision of {percent(PRECISION)}",
        f"validation {_unit(evidence)} with findings",
        "recall, as reported",
        f"threshold for a recall of {percent(RECALL)}",
        f"validation {_unit(evidence)} with the class",
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
    unit, is_exact = evidence.kind.unit, not evidence.kind.has_places and evidence.test.groups is None
    together = f"{unit}s of one image" if evidence.test.groups is None else "images of a group"
    intervals = ", with exact 95 % intervals" if is_exact else f", without intervals: {together} are not independent"
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
