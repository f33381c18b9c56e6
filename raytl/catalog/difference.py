"""The differences between two runs in config and data, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raytl.config.fingerprint import compared
from raytl.config.schema import Recipe
from raytl.data.manifest import Sample
from raytl.data.target_text import describe, difference


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A dotted key that decides the result, with its value in both runs; None where it cannot take effect."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class DataChange:
    """The snapshots of both runs, and the images (by key) that differ, found by their content.

    `relabelled` and `moved` have the target in words, or the split, before and after.
    """

    before: str
    after: str
    images: tuple[int, int]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: Mapping[str, tuple[str, str]]
    moved: Mapping[str, tuple[str, str]]


def config_changes(before: Recipe, after: Recipe) -> tuple[ConfigChange, ...]:
    """Return the keys that decide the result and differ."""
    old, new = compared(before, after)
    keys = [*old, *(key for key in new if key not in old)]
    return tuple(
        ConfigChange(key, old.get(key), new.get(key))
        for key in keys
        if (key in old) != (key in new) or old.get(key) != new.get(key)
    )


def data_change(snapshots: tuple[str, str], before: Sequence[Sample], after: Sequence[Sample]) -> DataChange:
    """Return what differs between the samples of two runs."""
    old, new = ({sample.digest or sample.key: sample for sample in samples} for samples in (before, after))
    both = [(old[digest], new[digest]) for digest in old if digest in new]
    return DataChange(
        *snapshots,
        images=(len(before), len(after)),
        added=tuple(sorted(new[digest].key for digest in new.keys() - old.keys())),
        removed=tuple(sorted(old[digest].key for digest in old.keys() - new.keys())),
        relabelled={then.key: _labels(then, now) for then, now in both if then.target != now.target},
        moved={then.key: (then.split or "", now.split or "") for then, now in both if then.split != now.split},
    )


def _labels(then: Sample, now: Sample) -> tuple[str, str]:
    """Return both targets in words; if the words are equal, what changed."""
    before, after = describe(then.target), describe(now.target)
    return before, after if after != before else f"{after}, {', '.join(difference(then.target, now.target))}"
