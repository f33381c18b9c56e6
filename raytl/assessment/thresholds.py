"""Section: from which confidence does the model keep a promise? Certified on validation, confirmed on test."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.curves import coverage_chart, points, recall_chart
from raytl.assessment.section import Evidence, Figure, Options, SectionResult, SplitEvidence, Table
from raytl.assessment.texts import bounds, percent
from raytl.data.group_split import group_columns
from raytl.metrics.aim import Aim
from raytl.metrics.binomial import fraction
from raytl.metrics.certified import (
    DELTA,
    Certificate,
    certified_accuracy,
    certified_recall,
    curve,
    is_confirmed,
)
from raytl.metrics.certified_images import fractions, mean_fraction
from raytl.metrics.intervals import Interval

ACCURACIES, RECALL = (0.9, 0.95, 0.99), 0.9
"""Aims that every report tries: accuracies of the answers, and the recall of each class."""
_CLASSES, _PANELS = 30, 6
_COVERAGE = (
    "How many of the answered images are right, if only the most confident ones are answered. Blue: test{interval}. Orange, "
    "dashed: validation."
)
_RECALL = "Precision by recall of the {count} classes with the lowest recall, on the test split{interval}."
_IMAGES, _GROUPS = "images", "groups of images"
_GROUPED = (
    "Images of a group ({names}) are not independent, so a group counts once, with its own fraction: promises are averages over "
    "groups."
)


@dataclass(frozen=True)
class _Outcome:
    """An aim, its certificate, the number of `validation` images, and on `test` the fraction that keeps it; `coverage` is the
    fraction of the test images that are answered, or count as of the class. `unit` is what counts once."""

    aim: Aim
    certificate: Certificate
    validation: int
    test: Interval | None = None
    coverage: float | None = None
    unit: str = _IMAGES

    @property
    def is_met(self) -> bool:
        """True if it is certified, and test has images that could contradict it, and do not."""
        return self.test is not None and is_confirmed(self.test, self.aim.value)

    @property
    def _verdict(self) -> str:
        if self.is_met or self.test is None:
            return ""
        return " No test image can confirm it." if isnan(self.test.value) else " Test contradicts it."

    @property
    def text(self) -> str:
        """The outcome as a sentence."""
        each, aim = self.certificate, self.aim
        if self.test is None:
            return f"{_capital(aim.text)}: {self._shortage}"
        at = f"probability {each.threshold:.4g}" if aim.recall_of else f"confidence {each.threshold:.4g}"
        what = "of the images count as the class" if aim.recall_of else "of the images are answered"
        return (
            f"{_capital(aim.text)}: from {at} on, certified with {self._support}. On test "
            f"{percent(self.test.value)} ({percent(self.test.low)} to {percent(self.test.high)}), and "
            f"{percent(self.coverage or 0.0)} {what}.{self._verdict}"
        )

    @property
    def _support(self) -> str:
        each = self.certificate
        if self.unit == _IMAGES:
            return f"{each.hits:,} of {each.trials:,} validation images"
        return f"{percent(each.hits / each.trials)} on average over {each.trials:,} {self.unit} of validation"

    @property
    def _shortage(self) -> str:
        each = self.certificate
        if self.unit != _IMAGES:
            have = " of the class" if self.aim.recall_of else ""
            return (
                f"not with {each.trials:,} {self.unit}{have} in validation; {each.needed:,} without an error would do."
            )
        if self.aim.recall_of:
            return f"not with {each.trials:,} validation images of the class; {each.needed:,} error-free ones would do."
        return (
            f"not with {self.validation:,} validation images (at best {each.hits:,} of the {each.trials:,} most confident are "
            f"right); {each.needed:,} error-free answers would do."
        )


class ThresholdSection:
    """See `raytl.assessment.section.Section`."""

    name = "thresholds"
    needs_train = False

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the certified thresholds of the required aims, of usual ones, and of the recall of each class."""
        required = [_outcome(aim, evidence) for aim in options.aims]
        usual = [_outcome(Aim(value), evidence) for value in ACCURACIES if Aim(value) not in options.aims]
        recalls = [_outcome(Aim(RECALL, name), evidence) for name in evidence.classes]
        certified = sum(each.certificate.threshold is not None for each in recalls)
        return SectionResult(
            title="Thresholds: from which confidence does it keep a promise?",
            sentences=(
                *(each.text for each in (*required, *usual)),
                f"A recall of {percent(RECALL)} is certified for {certified:,} of {len(recalls):,} classes.",
                *([_GROUPED.format(names=", ".join(group_columns(evidence.columns)))] if _is_grouped(evidence) else ()),
            ),
            tables=(_table(recalls, evidence),),
            figures=_figures(evidence),
            json={
                "delta": DELTA,
                "aims": [_plain(each, required) for each in dict.fromkeys((*required, *usual, *recalls))],
                "coverage": {name: points(_coverage(split), split.groups is None) for name, split in _splits(evidence)},
            },
            unmet=tuple(f"Aim not met: {each.text}" for each in required if not each.is_met),
        )


SECTION = ThresholdSection()


def _outcome(aim: Aim, evidence: Evidence) -> _Outcome:
    val, test, unit = evidence.val, evidence.test, _GROUPS if _is_grouped(evidence) else _IMAGES
    if aim.recall_of is None:
        certificate = certified_accuracy(val.probabilities.max(axis=1), val.correct, aim.value, val.groups)
        if certificate.threshold is None:
            return _Outcome(aim, certificate, len(val), unit=unit)
        taken = test.probabilities.max(axis=1) >= certificate.threshold
        of_aim, kept_promise = taken, taken & test.correct
    else:
        number = evidence.classes.index(aim.recall_of)
        own = val.targets == number
        certificate = certified_recall(val.probabilities[own, number], aim.value, val.groups_of(own))
        if certificate.threshold is None:
            return _Outcome(aim, certificate, len(val), unit=unit)
        taken = test.probabilities[:, number] >= certificate.threshold
        of_aim = test.targets == number
        kept_promise = of_aim & taken
    return _Outcome(aim, certificate, len(val), _fraction(of_aim, kept_promise, test), float(taken.mean()), unit)


def _is_grouped(evidence: Evidence) -> bool:
    return evidence.val.groups is not None


def _fraction(taken: NDArray[np.bool_], good: NDArray[np.bool_], split: SplitEvidence) -> Interval:
    """Return the fraction of the taken images that are good, or its average over groups, with its interval."""
    if split.groups is None:
        return fraction(int((taken & good).sum()), int(taken.sum()))
    return mean_fraction(fractions(split.groups[taken], good[taken]))


def _coverage(split: SplitEvidence) -> Any:
    return curve(split.probabilities.max(axis=1), split.correct)


def _splits(evidence: Evidence) -> tuple[tuple[str, SplitEvidence], ...]:
    return ("val", evidence.val), ("test", evidence.test)


def _figures(evidence: Evidence) -> tuple[Figure, ...]:
    test, names = evidence.test, evidence.classes
    recall = [
        test.correct[test.targets == number].mean() if (test.targets == number).any() else 2.0
        for number in range(len(names))
    ]
    worst = np.argsort(recall, kind="stable")[:_PANELS].tolist()
    curves = {
        names[i]: (curve(test.probabilities[:, i], test.targets == i), int((test.targets == i).sum())) for i in worst
    }
    is_exact = test.groups is None
    without = ", without intervals: images of a group are not independent"
    by_coverage = coverage_chart(_coverage(evidence.val), _coverage(test), has_interval=is_exact)
    of_coverage = _COVERAGE.format(interval=", with its exact 95 % interval" if is_exact else without)
    of_recall = _RECALL.format(
        count=len(curves), interval=", with exact 95 % intervals of the precision" if is_exact else without
    )
    return (
        Figure("coverage", "Accuracy by coverage", of_coverage, by_coverage),
        Figure("precision-recall", "Precision by recall", of_recall, recall_chart(curves, has_intervals=is_exact)),
    )


def _table(recalls: list[_Outcome], evidence: Evidence) -> Table:
    """Return the classes, those with the lowest recall on test first, if they are many."""
    test, rows = evidence.test, []
    for number, each in enumerate(recalls):
        own = test.targets == number
        hits = own & test.correct
        value = _fraction(own, hits, test)
        certificate = each.certificate
        text = "no" if certificate.threshold is None else f"{certificate.threshold:.4g}"
        rows.append(
            (
                value.value,
                (
                    evidence.classes[number],
                    bounds(value),
                    bounds(_fraction(test.predicted == number, hits, test)),
                    text,
                    f"{certificate.trials:,} of {certificate.needed:,}",
                ),
            )
        )
    if len(rows) > _CLASSES:
        rows = sorted(rows, key=lambda row: row[0])[:_CLASSES]
    head = (
        "class",
        "recall, as answered",
        "precision, as answered",
        f"threshold for a recall of {percent(RECALL)}",
        f"{'groups' if _is_grouped(evidence) else 'validation images'}, of those needed",
    )
    title = f"Classes on the test split{f': the {_CLASSES} with the lowest recall' if len(recalls) > _CLASSES else ''}"
    return Table(title, head, tuple(row for _, row in rows), (1, 2, 3, 4))


def _plain(each: _Outcome, required: list[_Outcome]) -> dict[str, Any]:
    test = None if each.test is None else [each.test.value, each.test.low, each.test.high]
    return {
        "recall_of": each.aim.recall_of,
        "at_least": each.aim.value,
        "required": each in required,
        "threshold": each.certificate.threshold,
        "validation": {
            "hits": each.certificate.hits,
            "images": each.certificate.trials,
            "needed": each.certificate.needed,
        },
        "test": test,
        "test_coverage": each.coverage,
        "met": each.is_met,
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
