"""Section: how much does a random split hide? The accuracy on sites, patients or cameras that were never seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import torch

from raytl.assessment.section import Evidence, Options, SectionResult, SplitEvidence, Table
from raytl.assessment.texts import percent
from raytl.models.group_gap import GroupGap, group_gap

_HEAD = ("column", "group", "images", "held out", "random folds", "gap")
_LISTED = 20


class GroupsSection:
    """See `raytl.assessment.section.Section`."""

    name = "groups"
    needs_train = True

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the gap of a classifier of the model's features between whole groups and random folds, for each column.

        It uses train and validation: test is not needed to measure the gap.
        """
        splits = [split for split in (evidence.train, evidence.val) if split is not None]
        columns = [name for name, role in evidence.columns.items() if role == "group"]
        gaps = {name: _gap(splits, name, options.seed) for name in columns}
        gaps_measured = [gap for gap in gaps.values() if gap is not None]
        return SectionResult(
            title="Groups: does it work on a site that it never saw?",
            sentences=tuple(_sentences(gaps)),
            tables=(_table(gaps_measured),) if gaps_measured else (),
            json={"gaps": [asdict(each) for each in gaps_measured]},
        )


SECTION = GroupsSection()


def _gap(splits: list[SplitEvidence], column: str, seed: int) -> GroupGap | None:
    groups = [value for split in splits for value in split.column(column)]
    features = np.concatenate([split.features for split in splits]).astype(np.float32)
    targets = np.concatenate([split.targets for split in splits])
    if not features.shape[1]:
        return None
    return group_gap(torch.from_numpy(features), targets, groups, column, seed=seed)


def _sentences(gaps: dict[str, GroupGap | None]) -> Iterator[str]:
    if not gaps:
        yield 'No column has the role group. Name one in the experiment: data.columns: {"site": group}.'
    for column, gap in gaps.items():
        if gap is None:
            yield f"{column}: cannot be measured; it takes two groups with images of the same two classes."
        elif gap.is_shown:
            worst = gap.groups[0]
            yield (
                f"{column}: {percent(gap.held_out.value)} right on groups that were held out, {percent(gap.random.value)} in "
                f"random folds of the same size (gap {100 * gap.gap.value:.1f} points, {100 * gap.gap.low:.1f} to "
                f"{100 * gap.gap.high:.1f}). A random split would promise too much. Hardest: {worst.name!r}, "
                f"{percent(worst.held_out)} instead of {percent(worst.random)}."
            )
        else:
            yield (
                f"{column}: no gap between groups that were held out ({percent(gap.held_out.value)} right) and random folds "
                f"({percent(gap.random.value)}) is shown."
            )
    if gaps:
        yield (
            "A linear classifier of the model's features answers here, as the model itself has seen the groups of train: its "
            "own gap may be larger."
        )


def _table(gaps: list[GroupGap]) -> Table:
    rows = [
        (
            gap.column,
            each.name,
            f"{each.images:,}",
            percent(each.held_out),
            percent(each.random),
            f"{100 * (each.random - each.held_out):.1f}",
        )
        for gap in gaps
        for each in gap.groups[:_LISTED]
    ]
    return Table("Accuracy on groups, held out and in random folds", _HEAD, tuple(rows), (2, 3, 4, 5))
