"""Find identical files in two splits, which would inflate the evaluation, and drop the copy in the lower-ranked split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.data.manifest import Sample, contents, listed
from raytl.data.sample_columns import Digests
from raytl.data.sample_table import SampleTable
from raytl.data.targets import names_in
from raytl.data.texts import Coded

_MAX_NAMED = 4
_RANK = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A sample dropped because `kept`, in a higher-ranked split (test > val > train), has the same bytes."""

    dropped: Sample
    kept: Sample

    def __str__(self) -> str:
        return f"{_named(self.dropped)} = {_named(self.kept)}"


def cross_split(samples: Iterable[Sample]) -> tuple[Duplicate, ...]:
    """Return the samples whose content is also in a higher-ranked split."""
    table = SampleTable.of(samples)
    groups = _groups(table)
    ranks = table.splits.mapped(lambda split: _RANK[split or "train"], np.int64)
    best = np.full(len(groups), max(_RANK.values()))
    np.minimum.at(best, groups.of_row, ranks)
    dropped = ranks > best[groups.of_row]
    hit = np.flatnonzero(np.isin(groups.of_row, groups.of_row[dropped]))
    duplicates: dict[int, list[Duplicate]] = defaultdict(list)
    kept: dict[int, Sample] = {}
    for row in hit[~dropped[hit]].tolist():
        kept.setdefault(int(groups.of_row[row]), table[row])
    for row in hit[dropped[hit]].tolist():
        group = int(groups.of_row[row])
        duplicates[group].append(Duplicate(table[row], kept[group]))
    return tuple(each for group in sorted(duplicates, key=groups.first.__getitem__) for each in duplicates[group])


def same_split_warnings(samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return warnings about duplicates inside a split; the same image under two labels contradicts itself."""
    table = SampleTable.of(samples)
    groups = _groups(table)
    rows = np.flatnonzero(groups.sizes[groups.of_row] > 1)
    content = Coded.of(contents(table.targets.take(rows))).codes
    lowest, highest = np.full(len(groups), len(rows)), np.full(len(groups), -1)
    np.minimum.at(lowest, groups.of_row[rows], content)
    np.maximum.at(highest, groups.of_row[rows], content)
    is_conflict = highest > lowest
    conflicts: dict[int, list[str]] = defaultdict(list)
    for row in rows[is_conflict[groups.of_row[rows]]].tolist():
        if len(names := conflicts[int(groups.of_row[row])]) < _MAX_NAMED:
            names.append(_named(table[row]))
    copies = int((groups.sizes[~is_conflict] - 1).sum())
    lines = []
    if conflicts:
        named = listed([" = ".join(names) for names in conflicts.values()])
        lines.append(f"{len(conflicts)} images have two different labels; keep the correct one:\n{named}")
    if copies:
        lines.append(f"{copies} images are exact copies of another image in their class and split; each copy counts")
    return tuple(lines)


@dataclass(frozen=True)
class _Groups:
    """The rows of a table by content: the group `of_row (n,)`, and of each group its `first` row and its size."""

    of_row: NDArray[np.int64]
    first: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)


def _groups(table: SampleTable) -> _Groups:
    digests = table.digests
    if isinstance(digests, Digests):
        content: NDArray[Any] = np.ascontiguousarray(digests.raw[:, :8]).view(np.uint64).ravel()
        groups = _grouped(content)
        if bool((digests.raw == digests.raw[groups.first[groups.of_row]]).all()):  # else two begin with the same bytes
            return groups
    return _grouped(Coded.of(digests).codes)


def _grouped(content: NDArray[Any]) -> _Groups:
    _, first, of_row, sizes = np.unique(content, return_index=True, return_inverse=True, return_counts=True)
    return _Groups(of_row.reshape(-1), first, sizes)


def _named(sample: Sample) -> str:
    names = names_in(sample.target)
    names_text = ", ".join(map(repr, names[:3])) + (" ..." if len(names) > 3 else "")
    return f"{sample.key!r} ({sample.split}, {names_text or 'no class'})"
