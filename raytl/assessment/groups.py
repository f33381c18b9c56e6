"""Section: how much does a random split hide? The accuracy on sites, patients or cameras that were never seen.

It is measured on up to three things, the most honest first: fine-tuned networks that never saw the group (`--full`), a linear
classifier of the pretrained network's features, which saw no image of the data, and one of the model's own features, which
have seen the groups of train.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.assessment.section import Evidence, Options, SectionResult, Table
from raytl.assessment.texts import percent
from raytl.data.group_split import group_columns
from raytl.metrics.confusion import Ints
from raytl.models.group_gap import GroupGap, group_gap

_HEAD = ("group", "images", "held out", "random folds", "gap")
_LISTED = 20
_NAMED = 5
FINE_TUNED, PRETRAINED, OWN = "fine-tuned networks", "pretrained features", "the model's features"


@dataclass(frozen=True)
class _Measured:
    """A gap, what it was measured on, and the groups that were not left out."""

    kind: str
    gap: GroupGap
    unmeasured: tuple[str, ...] = ()


class GroupsSection:
    """See `raytl.assessment.section.Section`."""

    name = "groups"
    needs_train = True

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the gap between whole groups and random folds, for each column.

        It uses train and validation: test is not needed to measure the gap.
        """
        columns = group_columns(evidence.columns)
        measured = [each for name in columns for each in _measured(evidence, name, options.seed)]
        return SectionResult(
            title="Groups: does it work on a site that it never saw?",
            sentences=(*_sentences(columns, measured), *_without_value(evidence, columns)),
            tables=tuple(map(_table, measured)),
            json={
                "gaps": [
                    {"measured_on": each.kind, **asdict(each.gap), "unmeasured": each.unmeasured} for each in measured
                ]
            },
        )


SECTION = GroupsSection()


def _measured(evidence: Evidence, column: str, seed: int) -> Iterator[_Measured]:
    """Yield the gaps of a column, the most honest first."""
    for each in evidence.fine_tuned:
        if each.gap.column == column:
            yield _Measured(FINE_TUNED, each.gap, each.unmeasured)
    splits = [split for split in (evidence.train, evidence.val) if split is not None]
    groups = [value for split in splits for value in split.column(column)]
    targets = np.concatenate([split.targets for split in splits])
    if (start := evidence.pretrained) is not None:
        some = [groups[i] for i in start.places]
        if gap := _gap(start.features, targets[start.places], some, column, seed):
            yield _Measured(PRETRAINED, gap)
    if gap := _own_gap(evidence, column, seed):
        yield _Measured(OWN, gap)


def _own_gap(evidence: Evidence, column: str, seed: int) -> GroupGap | None:
    """Return the gap on the model's own features of the splits that have them: a large one has none."""
    parts = [part for part in (evidence.train, evidence.val) if part is not None and part.features.shape[1]]
    if not parts:
        return None
    features = np.concatenate([part.features for part in parts]).astype(np.float32)
    targets = np.concatenate([part.targets for part in parts])
    return _gap(features, targets, [value for part in parts for value in part.column(column)], column, seed)


def _gap(
    features: NDArray[np.float32], targets: Ints, groups: Sequence[str], column: str, seed: int
) -> GroupGap | None:
    """Return the gap of the images that have a value in the column."""
    named = np.array([value != "" for value in groups], np.bool_)
    values = [value for value in groups if value != ""]
    return group_gap(torch.from_numpy(features[named]), targets[named], values, column, seed=seed)


def _sentences(columns: Sequence[str], measured: Sequence[_Measured]) -> Iterator[str]:
    if not columns:
        yield 'No column has the role group. Name one in the experiment: data.columns: {"site": group}.'
    for column in columns:
        own = [each for each in measured if each.gap.column == column]
        if not own:
            yield f"{column}: cannot be measured; it takes two groups with images of the same two classes."
            continue
        yield from (_sentence(each) for each in own)
        yield from _left_out(own[0])
    kinds = {each.kind for each in measured}
    if OWN in kinds:
        yield (
            "The model's own features have seen the groups of train, so the gap on them is too small."
            + ("" if FINE_TUNED in kinds else " `raytl report --full` trains networks that never saw a group.")
        )
    if FINE_TUNED in kinds:
        yield "Fine-tuned networks: one seed and one random division each. Intervals are over images, not over trainings."


def _sentence(each: _Measured) -> str:
    gap, start = each.gap, f"{each.gap.column}, {each.kind}:"
    if not gap.is_shown:
        return (
            f"{start} no gap between groups that were held out ({percent(gap.held_out.value)} right) and random folds "
            f"({percent(gap.random.value)}) is shown."
        )
    worst = gap.groups[0]
    return (
        f"{start} {percent(gap.held_out.value)} right on groups that were held out, {percent(gap.random.value)} in random folds "
        f"of the same size (gap {100 * gap.gap.value:.1f} points, {100 * gap.gap.low:.1f} to {100 * gap.gap.high:.1f}). A random "
        f"split would promise too much. Hardest: {worst.name!r}, {percent(worst.held_out)} instead of {percent(worst.random)}."
    )


def _without_value(evidence: Evidence, columns: Sequence[str]) -> Iterator[str]:
    """Yield how many images of train and validation are of no group."""
    splits = [split for split in (evidence.train, evidence.val) if split is not None]
    for column in columns:
        if count := sum(split.column(column).count("") for split in splits):
            yield f"{column}: {count:,} images without a value are of no group, and left out."


def _left_out(each: _Measured) -> Iterator[str]:
    """Yield the groups and images that were not measured."""
    if each.unmeasured:
        more = len(each.unmeasured) - _NAMED
        names = ", ".join(map(repr, each.unmeasured[:_NAMED])) + (f" and {more} more" if more > 0 else "")
        yield f"{each.gap.column}: not held out, as they are smaller or too little would remain: {names}."
    if each.gap.left_out:
        yield f"{each.gap.column}: {each.gap.left_out:,} images of a class that only one group has are left out."


def _table(each: _Measured) -> Table:
    rows = [
        (
            group.name,
            f"{group.images:,}",
            percent(group.held_out),
            percent(group.random),
            f"{100 * (group.random - group.held_out):.1f}",
        )
        for group in each.gap.groups[:_LISTED]
    ]
    return Table(f"Accuracy on each {each.gap.column}: {each.kind}", _HEAD, tuple(rows), (1, 2, 3, 4))
