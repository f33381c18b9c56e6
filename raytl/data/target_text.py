"""Targets in words: the classes in a target and how often, and a short text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from raytl.data.targets import Boxes, Instances, Labels, Mask, Target, names_in

_NAMED = 4


def class_counts(target: Target) -> Counter[str]:
    """Return how often each class occurs: objects of boxes and masks that are learned, else 1 for each class.

    Of a mask file, these are the classes that occur in it, or before the audit those that its values stand for.
    """
    match target:
        case None:
            return Counter()
        case str():
            return Counter([target])
        case Labels():
            return Counter(dict.fromkeys(target.present, 1))
        case Mask():
            return Counter(dict.fromkeys(names_in(target), 1))
        case Boxes():
            return Counter(box.label for box in target.boxes if not box.crowd)
        case Instances():
            return Counter(each.label for each in target.instances if not each.crowd)


def counts_of(targets: Iterable[Target]) -> Counter[str]:
    """Return the sum of the counts of all targets."""
    total: Counter[str] = Counter()
    for target in targets:
        total.update(class_counts(target))
    return total


def describe(target: Target) -> str:
    """Return a target in a few words: `glass`, `3 car, 1 bus`, `no objects`, `a mask`."""
    if isinstance(target, str):
        return target
    match target:
        case None:
            return "no label"
        case Mask():
            return "a mask"
        case Labels():
            return _listed(list(target.present)) or "none of the classes"
    counts = class_counts(target)
    return _listed([f"{count} {name}" for name, count in sorted(counts.items())]) or "no objects"


def difference(before: Target, now: Target) -> tuple[str, ...]:
    """Return how an image was relabelled: `glass -> metal`, or for each class `more car`, `fewer bus`, or `moved`."""
    if isinstance(before, str) or isinstance(now, str) or before is None or now is None:
        return (f"{describe(before)} -> {describe(now)}",)
    then, after = class_counts(before), class_counts(now)
    lines = [f"{'more' if after[name] > then[name] else 'fewer'} {name}" for name in sorted({**then, **after})
             if after[name] != then[name]]  # fmt: skip
    return tuple(lines) or ("moved or redrawn",)


def _listed(items: list[str]) -> str:
    more = len(items) - _NAMED
    return ", ".join(items[:_NAMED]) + (f" and {more} more" if more > 0 else "")
