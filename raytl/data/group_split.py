"""Draw whole groups for the splits: images of one site, patient or video are never in two of them.

Groups of several columns that share an image are one group. A group is drawn by the position of its name, so it stays where it
is when others come; only a split that would be empty takes the group nearest to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import ColumnRole
from raytl.data.manifest import Sample
from raytl.data.position import position
from raytl.data.sample_table import SampleTable
from raytl.data.targets import names_in
from raytl.errors import DataError

_TRAIN, _VAL, _TEST = range(3)
Codes = NDArray[np.uint8]


def group_codes(samples: SampleTable, columns: Collection[str], val: float, test: float) -> Codes:
    """Return the split of each sample, `(n,)`: 0 train, 1 val, 2 test, with about these fractions of the groups.

    Raises:
        DataError: there are too few groups for the splits.
    """
    groups, names = groups_of(samples, columns)
    wanted = [code for code, is_wanted in ((_TRAIN, True), (_VAL, val > 0), (_TEST, test > 0)) if is_wanted]
    if len(names) < len(wanted):
        raise DataError(
            f"data.columns: {len(names)} groups of {', '.join(columns)} cannot be divided into {len(wanted)} splits; expected "
            f"{len(wanted)} or more. Add groups, or set data.val_fraction or data.test_fraction to 0"
        )
    places = np.array([position(name) for name in names])
    codes = np.select([places < test, places >= 1.0 - val], [_TEST, _VAL], _TRAIN).astype(np.uint8)
    _fill(codes, places, wanted)
    _train_classes(codes, places, groups, samples)
    return codes[groups]


def group_columns(columns: Mapping[str, ColumnRole]) -> tuple[str, ...]:
    """Return the names of the columns whose values are groups."""
    return tuple(name for name, role in columns.items() if role == "group")


def groups_of(samples: SampleTable, columns: Collection[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the group of each sample, `(n,)`, and the names of the groups."""
    assert samples.columns is not None, "the columns are read with the manifest"
    keys = [
        [_name(name, value, columns) for name, value in cells if name in columns] for cells in samples.columns.values
    ]
    parent: dict[str, str] = {}
    for row in keys:
        roots = sorted({_root(parent, key) for key in row})
        parent.update(dict.fromkeys(roots[1:], roots[0]))
    names = sorted({_root(parent, row[0]) for row in keys})
    number = {name: i for i, name in enumerate(names)}
    of_value = np.array([number[_root(parent, row[0])] for row in keys], np.int64)
    return of_value[samples.columns.codes], names


def kept_together(samples: Sequence[Sample], columns: Collection[str]) -> NDArray[np.int64]:
    """Return the group of each sample, `(n,)`: those with the same value in one of `columns`, and equal files, are in one group.

    A sample without a value in a column has a group of its own there.
    """
    digests = _labels([sample.digest for sample in samples])
    cells = [dict(sample.columns) for sample in samples] if columns else []
    return joined(digests, *(_labels([each.get(name, "") for each in cells]) for name in columns))


def sampling_groups(samples: Sequence[Sample], columns: Mapping[str, ColumnRole]) -> NDArray[np.int64] | None:
    """Return the group of each sample, `(n,)`, by the columns of groups; None if there are none, or all are of one group.

    The samples of a group are not independent, so a bootstrap draws whole groups, and a test swaps them.
    """
    names = group_columns(columns)
    return unless_one(kept_together(samples, names)) if names else None


def unless_one(groups: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Return the groups of samples, `(n,)`; None if there are none, or all samples are of one: then there are no others to draw."""
    return None if groups is None or not len(groups) or groups.min() == groups.max() else groups


def joined(*labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group of each thing, `(n,)`: things that share one of their `labels`, each `(n,)`, are in one group.

    Groups are numbered in the order of their first things.
    """
    if len(labels) == 1:
        _, first, own = np.unique(labels[0], return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[own]
    from scipy.sparse import coo_array  # takes a quarter of a second to import, and few sets have groups
    from scipy.sparse.csgraph import connected_components

    count = len(labels[0])
    ends = [np.unique(each, return_inverse=True)[1] + (place + 1) * count for place, each in enumerate(labels)]
    edges = (np.tile(np.arange(count), len(ends)), np.concatenate(ends))
    graph = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=((len(ends) + 1) * count,) * 2)
    return np.asarray(connected_components(graph, directed=False)[1][:count], np.int64)


def _labels(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return a number for each distinct text, `(n,)`; each empty one has a number of its own."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, i) if text else i for i, text in enumerate(texts)], np.int64)


def _name(column: str, value: str, columns: Collection[str]) -> str:
    return value if len(columns) == 1 else f"{column}={value}"


def _root(parent: dict[str, str], key: str) -> str:
    """Return the first name of the group of `key`, shortening the way there."""
    parent.setdefault(key, key)
    root = key
    while parent[root] != root:
        root = parent[root]
    while parent[key] != root:
        parent[key], key = root, parent[key]
    return root


def _fill(codes: Codes, places: NDArray[np.float64], wanted: list[int]) -> None:
    """Give each empty split the group that is nearest to it, from a split that has others."""
    center = {_TEST: 0.0, _VAL: 1.0, _TRAIN: 0.5}
    for code in wanted:
        if not (codes == code).any():
            counts = np.bincount(codes, minlength=3)
            spare = np.flatnonzero(counts[codes] > 1)
            codes[spare[np.abs(places[spare] - center[code]).argmin()]] = code


def _train_classes(codes: Codes, places: NDArray[np.float64], groups: NDArray[np.int64], samples: SampleTable) -> None:
    """Move groups to train until it has every class, as far as no split is emptied."""
    members = defaultdict(set)
    for name, group in _classes(samples, groups):
        members[name].add(group)
    for owners in members.values():
        if not any(codes[group] == _TRAIN for group in owners):
            counts = np.bincount(codes, minlength=3)
            movable = [group for group in owners if counts[codes[group]] > 1]
            if movable:
                codes[min(movable, key=lambda group: (abs(places[group] - 0.5), group))] = _TRAIN


def _classes(samples: SampleTable, groups: NDArray[np.int64]) -> Iterator[tuple[str, int]]:
    for target, group in zip(samples.targets, groups.tolist(), strict=True):
        for name in names_in(target):
            yield name, group
