"""Section: sets of classes that hold the true one as often as promised, and abstention where a set has several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.section import Evidence, Options, SectionResult, Table
from raytl.assessment.texts import bounds, percent
from raytl.metrics.conformal import Scores, aps, class_cuts, lac, marginal_cuts, min_images, sets
from raytl.metrics.draws import Groups
from raytl.metrics.grouped import fraction_of
from raytl.metrics.intervals import Interval

ALPHAS = (0.1, 0.05)
_LISTED = 10


@dataclass(frozen=True)
class _Sets:
    """Prediction sets on test: how often they hold the true class, in all and of the worst class, their mean size, the
    fraction that is `empty`, and the images with just one class."""

    method: str
    alpha: float
    cuts: tuple[float, ...]
    coverage: Interval
    worst: tuple[str, Interval]
    size: float
    empty: float
    single: Interval
    single_right: Interval


class SetSection:
    """See `raytl.assessment.section.Section`."""

    name = "sets"
    needs_train = False

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the sets of three methods at two levels."""
        results = [each for alpha in ALPHAS for each in _all(evidence, alpha)]
        usual, by_class = results[0], results[1]
        return SectionResult(
            title="Prediction sets: which classes can it be?",
            sentences=(
                f"Sets that hold the true class of {percent(1 - usual.alpha)} of the images have {usual.size:.2f} classes on "
                f"average; on test they hold it for {bounds(usual.coverage)}.",
                f"{percent(usual.single.value)} of the test images get a set of just one class, which is right for "
                f"{bounds(usual.single_right)}; abstain on the others.{_empty(usual)}",
                f"Sets with a promise for each class have {by_class.size:.2f} classes on average; the class with the lowest "
                f"coverage on test is {by_class.worst[0]}, with {bounds(by_class.worst[1])}.",
            ),
            tables=(_table(results),),
            json={"sets": [_plain(each, evidence.classes) for each in results]},
            warnings=_warnings(evidence),
        )


SECTION = SetSection()


def _empty(each: _Sets) -> str:
    if not each.empty:
        return ""
    return f" The set of {percent(each.empty)} is empty: no class is as probable as the true one usually is."


def _all(evidence: Evidence, alpha: float) -> list[_Sets]:
    return [
        _measured(evidence, alpha, "for all images (LAC)", lac, by_class=False),
        _measured(evidence, alpha, "for each class (LAC)", lac, by_class=True),
        _measured(evidence, alpha, "for all images (APS)", aps, by_class=False),
    ]


def _measured(evidence: Evidence, alpha: float, method: str, score: Scores, *, by_class: bool) -> _Sets:
    val, test, groups = evidence.val, evidence.test, evidence.test.sampling_groups
    chosen = (class_cuts if by_class else marginal_cuts)(score(val.probabilities), val.targets, alpha)
    members = sets(score(test.probabilities), chosen)
    own = members[np.arange(len(test)), test.targets]
    sizes = members.sum(axis=1)
    single = sizes == 1
    return _Sets(
        method=method,
        alpha=alpha,
        cuts=tuple(chosen.tolist()),
        coverage=fraction_of(own, groups),
        worst=_worst(own, test.targets, evidence.classes, groups),
        size=float(sizes.mean()),
        empty=float((sizes == 0).mean()),
        single=fraction_of(single, groups),
        single_right=fraction_of(own[single], None if groups is None else groups[single]),
    )


def _worst(
    own: NDArray[np.bool_], targets: NDArray[np.int64], classes: tuple[str, ...], groups: Groups | None
) -> tuple[str, Interval]:
    images = np.bincount(targets, minlength=len(classes))
    covered = np.bincount(targets, own, minlength=len(classes))
    place = int(np.argmin(np.where(images > 0, covered / np.maximum(images, 1), 2.0)))
    rows = targets == place
    return classes[place], fraction_of(own[rows], None if groups is None else groups[rows])


def _warnings(evidence: Evidence) -> tuple[str, ...]:
    images = np.bincount(evidence.val.targets, minlength=len(evidence.classes))
    lines = []
    for alpha in ALPHAS:
        few = [
            f"{name} ({count})"
            for name, count in zip(evidence.classes, images.tolist(), strict=True)
            if count < min_images(alpha)
        ]
        if few:
            more = f" and {len(few) - _LISTED:,} more" if len(few) > _LISTED else ""
            lines.append(
                f"Sets for each class at {percent(1 - alpha)} need {min_images(alpha)} validation images of a class, and always "
                f"hold a class with fewer: {', '.join(few[:_LISTED])}{more}."
            )
    return tuple(lines)


def _table(results: list[_Sets]) -> Table:
    rows = [
        (
            percent(1 - each.alpha),
            each.method,
            bounds(each.coverage),
            f"{each.worst[0]}: {bounds(each.worst[1])}",
            f"{each.size:.2f}",
            percent(each.single.value),
        )
        for each in results
    ]
    head = ("promise", "method", "coverage on test", "lowest of a class", "classes a set", "sets of one class")
    return Table("Prediction sets on the test split", head, tuple(rows), (0, 2, 4, 5))


def _plain(each: _Sets, classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "method": each.method,
        "coverage_at_least": 1 - each.alpha,
        "cuts": dict(zip(classes, each.cuts, strict=True)),
        "test_coverage": [each.coverage.value, each.coverage.low, each.coverage.high],
        "worst_class": each.worst[0],
        "mean_size": each.size,
        "empty": each.empty,
        "single": each.single.value,
        "single_right": each.single_right.value,
    }
