"""Images added, removed and relabelled since the last training. An image is identified by its content, not by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from raytl.data.manifest import Sample
from raytl.metrics.drift import ConfidenceShift, Drift
from raytl.registry.record import Number
from raytl.stored.bounds import Count, FormerKey, Score

MIN_IMAGES = 20
"""New images below which drift is neither measured nor a reason to train."""


@dataclass(frozen=True)
class Changes:
    """The data compared with that of the last training (version `since`), and its classes with the champion's.

    Counts are by class; `relabelled` has `old -> new` labels as keys. `balance` has the share of each class then and now.
    `predicted` has how often the champion predicts each class among held-out images of its training, and among as many new ones.
    """

    snapshot: str
    since: Number | None
    images: Mapping[str, Count] = field(default_factory=dict)
    added: Mapping[str, Count] = field(default_factory=dict)
    removed: Mapping[str, Count] = field(default_factory=dict)
    relabelled: Mapping[str, Count] = field(default_factory=dict)
    new_classes: Mapping[str, Count] = field(default_factory=dict)
    removed_classes: Annotated[tuple[str, ...], FormerKey("vanished")] = ()
    balance: Mapping[str, tuple[Score, Score]] = field(default_factory=dict)
    unreadable: Count = 0
    left_out: Mapping[str, Count] = field(default_factory=dict)
    drift: Drift | None = None
    sureness: ConfidenceShift | None = None
    predicted: Mapping[str, tuple[Count, Count]] = field(default_factory=dict)

    @property
    def new_samples(self) -> int:
        """Number of images added or relabelled."""
        return sum(self.added.values()) + sum(self.relabelled.values())

    @property
    def removed_count(self) -> int:
        """Number of images removed."""
        return sum(self.removed.values())

    @property
    def any(self) -> bool:
        """True if anything differs from the data of the last training."""
        return bool(self.new_samples or self.removed_count)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def with_drift(
        self, drift: Drift | None, sureness: ConfidenceShift | None, predicted: Mapping[str, tuple[int, int]]
    ) -> Changes:
        """Return the changes with the drift that the champion measures on the new images."""
        return replace(self, drift=drift, sureness=sureness, predicted=predicted)


def changes_between(
    snapshot: str,
    since: int | None,
    before: Sequence[Sample],
    now: Sequence[Sample],
    classes: Sequence[str],
    unreadable: int = 0,
    left_out: Mapping[str, Sequence[str]] | None = None,
) -> Changes:
    """Return the differences from the samples `before` to those `now`; `classes` are the champion's (empty without one)."""
    old, new = ({sample.digest: sample.label for sample in samples} for samples in (before, now))
    relabelled = Counter(
        f"{old[digest]} -> {new[digest]}" for digest in old.keys() & new.keys() if old[digest] != new[digest]
    )
    trained = Counter(sample.label for sample in now if sample.split == "train")
    counts_now = Counter(sample.label for sample in now)
    counts_before = Counter(sample.label for sample in before)
    return Changes(
        snapshot=snapshot,
        since=since,
        images=dict(Counter(sample.split or "train" for sample in now)),
        added=_counts(new[digest] for digest in new.keys() - old.keys()),
        removed=_counts(old[digest] for digest in old.keys() - new.keys()),
        relabelled=dict(sorted(relabelled.items())),
        new_classes={name: counts_now[name] for name in sorted(counts_now) if classes and name not in classes},
        removed_classes=tuple(name for name in classes if not trained[name]),
        balance={
            name: (counts_before[name] / max(1, len(before)), counts_now[name] / max(1, len(now)))
            for name in sorted({**counts_before, **counts_now})
        },
        unreadable=unreadable,
        left_out={reason: len(keys) for reason, keys in (left_out or {}).items()},
    )


def added_samples(before: Sequence[Sample], now: Sequence[Sample]) -> tuple[Sample, ...]:
    """Return the samples of `now` whose content is not in `before`."""
    digests = {sample.digest for sample in before}
    return tuple(sample for sample in now if sample.digest not in digests)


def _counts(labels: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(labels).items()))
