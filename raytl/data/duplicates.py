"""The same photo on two sides of a split makes an evaluation lie: found by content, and taken from the weaker side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raytl.data.manifest import Sample, listed

_RANK = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A sample that is left out because `kept`, on a side that weighs more (test > val > train), has the same bytes."""

    dropped: Sample
    kept: Sample

    def __str__(self) -> str:
        return f"{_named(self.dropped)} = {_named(self.kept)}"


def cross_split(samples: Iterable[Sample]) -> tuple[Duplicate, ...]:
    """The samples whose content is also on a side that weighs more."""
    found = []
    for group in _groups(samples):
        best = min(group, key=lambda sample: _RANK[sample.split or "train"])
        found += [Duplicate(sample, best) for sample in group if sample.split != best.split]
    return tuple(found)


def same_side_warnings(samples: Iterable[Sample]) -> tuple[str, ...]:
    """Lines about copies inside a split; those under two labels teach the model a contradiction."""
    conflicts, copies = [], 0
    for group in _groups(samples):
        if len({sample.label for sample in group}) > 1:
            conflicts.append(" = ".join(_named(sample) for sample in group[:4]))
        else:
            copies += len(group) - 1
    lines = []
    if conflicts:
        lines.append(f"{len(conflicts)} images are there under two labels; keep the right one:\n{listed(conflicts)}")
    if copies:
        lines.append(f"{copies} images are copies of another one of their class and split, and count as often")
    return tuple(lines)


def _groups(samples: Iterable[Sample]) -> list[Sequence[Sample]]:
    everything = tuple(samples)
    seen, twice = set[str](), set[str]()
    for sample in everything:
        (twice if sample.digest in seen else seen).add(sample.digest)
    by_content: dict[str, list[Sample]] = defaultdict(list)
    for sample in everything if twice else ():
        if sample.digest in twice:
            by_content[sample.digest].append(sample)
    return list(by_content.values())


def _named(sample: Sample) -> str:
    return f"{sample.key!r} ({sample.split}, {sample.label!r})"
