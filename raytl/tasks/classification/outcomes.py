"""The outcome of every image of an evaluated split, kept beside the report for paired tests between runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from raytl.data.manifest import Sample
from raytl.metrics.draws import Groups
from raytl.metrics.paired import Paired, paired_classes
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, within
from raytl.tasks.outcome_rows import group_numbers, outcome_lines, paired_groups

TESTED = ("accuracy", "balanced_accuracy")
"""The metrics of the paired test; both need the predicted classes only."""
MAX_IMAGES = 50_000
"""Images of the paired test, whose resamples take 32 kB an image."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image: its true and its predicted class, and the probability of the predicted one.

    Images of a `group` are not independent; None if all images are.
    """

    key: Name
    true: Name
    predicted: Name
    probability: Annotated[float, within(0, 1.000001)]
    group: Count | None = None


OUTCOME_FORMAT = Format[Outcome](
    Outcome, "the outcome of an image", "Restore the file, or delete it to go without paired tests.", max_bytes=1 << 18
)


def encoded(
    samples: Sequence[Sample],
    classes: Sequence[str],
    probabilities: NDArray[np.float64],
    groups: Groups | None = None,
) -> bytes:
    """Return one JSON line per image, from `probabilities (n, classes)` and `groups (n,)` in the order of `samples`."""
    best = probabilities.argmax(axis=1)
    rows = (
        Outcome(sample.key, sample.label, classes[place], round(float(row[place]), 6), group)
        for sample, place, row, group in zip(
            samples, best, probabilities, group_numbers(groups, len(samples)), strict=True
        )
    )
    return outcome_lines(rows)


def paired_outcomes(before: Sequence[Outcome], after: Sequence[Outcome]) -> tuple[tuple[Paired, ...], str]:
    """Return the paired tests of the outcomes of two evaluations, or none and the reason."""
    outcomes = [sorted(rows, key=lambda row: row.key) for rows in (before, after)]
    if max(map(len, outcomes)) > MAX_IMAGES:
        return (), f"a report has {max(map(len, outcomes)):,} images; the test takes {MAX_IMAGES:,} at most"
    if [(row.key, row.true) for row in outcomes[0]] != [(row.key, row.true) for row in outcomes[1]]:
        return (), "the outcomes of the reports are of different images"
    names = sorted({name for rows in outcomes for row in rows for name in (row.true, row.predicted)})
    number = {name: place for place, name in enumerate(names)}
    targets = np.array([number[row.true] for row in outcomes[0]])
    one, other = (np.array([number[row.predicted] for row in rows]) for rows in outcomes)
    groups = paired_groups(*([row.group for row in rows] for rows in outcomes))
    return tuple(paired_classes(targets, one, other, metric, groups) for metric in TESTED), ""
