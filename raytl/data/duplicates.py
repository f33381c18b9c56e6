"""Find identical files in two splits, which would inflate the evaluation, and drop the copy in the lower-ranked split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raytl.data.manifest import Sample, content_of, listed
from raytl.data.targets import names_in

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
    duplicates = []
    for group in _groups(samples):
        best = min(group, key=lambda sample: _RANK[sample.split or "train"])
        duplicates += [Duplicate(sample, best) for sample in group if sample.split != best.split]
    return tuple(duplicates)


def same_split_warnings(samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return warnings about duplicates inside a split; the same image under two labels contradicts itself."""
    conflicts, copies = [], 0
    for group in _groups(samples):
        if len({content_of(sample.target) for sample in group}) > 1:
            conflicts.append(" = ".join(_named(sample) for sample in group[:4]))
        else:
            copies += len(group) - 1
    lines = []
    if conflicts:
        lines.append(f"{len(conflicts)} images have two different labels; keep the correct one:\n{listed(conflicts)}")
    if copies:
        lines.append(f"{copies} images are exact copies of another image in their class and split; each copy counts")
    return tuple(lines)


def _groups(samples: Iterable[Sample]) -> list[Sequence[Sample]]:
    all_samples = tuple(samples)
    seen, repeated = set[str](), set[str]()
    for sample in all_samples:
        (repeated if sample.digest in seen else seen).add(sample.digest)
    by_content: dict[str, list[Sample]] = defaultdict(list)
    for sample in all_samples if repeated else ():
        if sample.digest in repeated:
            by_content[sample.digest].append(sample)
    return list(by_content.values())


def _named(sample: Sample) -> str:
    names = names_in(sample.target)
    names_text = ", ".join(map(repr, names[:3])) + (" ..." if len(names) > 3 else "")
    return f"{sample.key!r} ({sample.split}, {names_text or 'no class'})"
