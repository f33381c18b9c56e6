"""What came, went and changed since the last training, as a value. An image is known by its content, not by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from raytl.data.manifest import Sample
from raytl.metrics.drift import Drift, Sureness
from raytl.registry.record import Number
from raytl.stored.bounds import Count, Score

LEAST = 20
"""Of fewer new images no drift is told, and none is a reason to train."""


@dataclass(frozen=True)
class Changes:
    """The data now beside that of the last training (version `since`), and its classes beside the champion's.

    Counts are by class. `relabelled` has `old -> new` labels. `balance` has each class's share then and now. `predicted` has
    how often each class is predicted among the new images and among as many held-out ones of the champion's training.
    """

    snapshot: str
    since: Number | None
    images: Mapping[str, Count] = field(default_factory=dict)
    added: Mapping[str, Count] = field(default_factory=dict)
    removed: Mapping[str, Count] = field(default_factory=dict)
    relabelled: Mapping[str, Count] = field(default_factory=dict)
    new_classes: Mapping[str, Count] = field(default_factory=dict)
    removed_classes: tuple[str, ...] = ()
    balance: Mapping[str, tuple[Score, Score]] = field(default_factory=dict)
    unreadable: Count = 0
    left_out: Mapping[str, Count] = field(default_factory=dict)
    drift: Drift | None = None
    sureness: Sureness | None = None
    predicted: Mapping[str, tuple[Count, Count]] = field(default_factory=dict)

    @property
    def new_samples(self) -> int:
        """Images that came, or whose label is another."""
        return sum(self.added.values()) + sum(self.relabelled.values())

    @property
    def removed_count(self) -> int:
        """Images that went away."""
        return sum(self.removed.values())

    @property
    def any(self) -> bool:
        """True where anything differs from the data of the last training."""
        return bool(self.new_samples or self.removed_count)

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return asdict(self)

    def measured(
        self, drift: Drift | None, sureness: Sureness | None, predicted: Mapping[str, tuple[int, int]]
    ) -> Changes:
        """The same with what the champion makes of the new images."""
        return replace(self, drift=drift, sureness=sureness, predicted=predicted)


def changes(
    snapshot: str,
    since: int | None,
    before: Sequence[Sample],
    now: Sequence[Sample],
    classes: Sequence[str],
    unreadable: int = 0,
    left_out: Mapping[str, Sequence[str]] | None = None,
) -> Changes:
    """What differs from the samples `before` to those `now`; `classes` are the champion's (none: every class is as before)."""
    old, new = ({sample.digest: sample.label for sample in side} for side in (before, now))
    relabelled = Counter(
        f"{old[digest]} -> {new[digest]}" for digest in old.keys() & new.keys() if old[digest] != new[digest]
    )
    trained = Counter(sample.label for sample in now if sample.split == "train")
    every = Counter(sample.label for sample in now)
    then = Counter(sample.label for sample in before)
    return Changes(
        snapshot=snapshot,
        since=since,
        images=dict(Counter(sample.split or "train" for sample in now)),
        added=_counts(new[digest] for digest in new.keys() - old.keys()),
        removed=_counts(old[digest] for digest in old.keys() - new.keys()),
        relabelled=dict(sorted(relabelled.items())),
        new_classes={name: every[name] for name in sorted(every) if classes and name not in classes},
        removed_classes=tuple(name for name in classes if not trained[name]),
        balance={
            name: (then[name] / max(1, len(before)), every[name] / max(1, len(now)))
            for name in sorted({**then, **every})
        },
        unreadable=unreadable,
        left_out={reason: len(keys) for reason, keys in (left_out or {}).items()},
    )


def came(before: Sequence[Sample], now: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples whose content is new."""
    known = {sample.digest for sample in before}
    return tuple(sample for sample in now if sample.digest not in known)


def _counts(labels: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(labels).items()))
