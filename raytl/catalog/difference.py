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
    both, removed, added = _matched(before, after)
    return DataChange(
        *snapshots,
        images=(len(before), len(after)),
        added=tuple(sorted(sample.key for sample in added)),
        removed=tuple(sorted(sample.key for sample in removed)),
        relabelled={then.key: _labels(then, now) for then, now in both if then.target != now.target},
        moved={then.key: (then.split or "", now.split or "") for then, now in both if then.split != now.split},
    )


def _matched(
    before: Sequence[Sample], after: Sequence[Sample]
) -> tuple[list[tuple[Sample, Sample]], list[Sample], list[Sample]]:
    """Return the pairs of samples of equal content, and the samples of both runs without a partner.

    Of several copies of an image, those of the same name are a pair.
    """
    named = {(_content(sample), sample.key): sample for sample in after}
    both = [(sample, named.pop(name)) for sample in before if (name := (_content(sample), sample.key)) in named]
    paired = {sample.key for sample, _ in both}
    copies: dict[str, list[Sample]] = {}
    for (content, _), sample in named.items():
        copies.setdefault(content, []).append(sample)
    removed = []
    for sample in before:
        if sample.key in paired:
            continue
        if others := copies.get(_content(sample)):
            both.append((sample, others.pop(0)))
        else:
            removed.append(sample)
    return both, removed, [sample for others in copies.values() for sample in others]


def _content(sample: Sample) -> str:
    return sample.digest or sample.key


def _labels(then: Sample, now: Sample) -> tuple[str, str]:
    """Return both targets in words; if the words are equal, what changed."""
    before, after = describe(then.target), describe(now.target)
    return before, after if after != before else f"{after}, {', '.join(difference(then.target, now.target))}"
