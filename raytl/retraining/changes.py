"""Images added, removed and relabelled since the last training. An image is identified by its content, not by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from raytl.data.manifest import Sample
from raytl.data.target_text import counts_of, difference
from raytl.metrics.drift import ConfidenceShift, Drift
from raytl.registry.record import Number
from raytl.stored.bounds import Count, FormerKey, Score

MIN_IMAGES = 20
"""New images below which drift is neither measured nor a reason to train."""


@dataclass(frozen=True)
class Changes:
    """The data compared with that of the last training (version `since`), and its classes with the champion's.

    Counts are by class: of images, or of objects where images have several. `relabelled` counts images by what changed, such
    as `old -> new` labels. `images_added` and its like count images; None if each has one class, as the counts by class add
    up to them. `balance` has the share of each class then and now. `predicted` has how often the champion predicts each
    class among held-out images of its training, and among as many new ones.
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
    images_added: Count | None = None
    images_removed: Count | None = None
    images_relabelled: Count | None = None

    @property
    def new_samples(self) -> int:
        """Number of images added or relabelled."""
        return self.added_count + self.relabelled_count

    @property
    def added_count(self) -> int:
        """Number of images added."""
        return _images(self.images_added, self.added)

    @property
    def relabelled_count(self) -> int:
        """Number of images whose target changed."""
        return _images(self.images_relabelled, self.relabelled)

    @property
    def removed_count(self) -> int:
        """Number of images removed."""
        return _images(self.images_removed, self.removed)

    @property
    def any(self) -> bool:
        """True if anything differs from the data of the last training."""
        return bool(self.new_samples or self.removed_count)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        counts = ("images_added", "images_removed", "images_relabelled")
        return {name: value for name, value in asdict(self).items() if value is not None or name not in counts}

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
    old, new = ({sample.digest: sample.target for sample in samples} for samples in (before, now))
    gone, came = ([side[digest] for digest in side.keys() - other.keys()] for side, other in ((old, new), (new, old)))
    differences = [difference(old[key], new[key]) for key in old.keys() & new.keys() if old[key] != new[key]]
    trained = counts_of(sample.target for sample in now if sample.split == "train")
    counts_now, counts_before = (counts_of(sample.target for sample in samples) for samples in (now, before))
    is_single = all(isinstance(sample.target, str) for sample in (*before, *now))
    return Changes(
        snapshot=snapshot,
        since=since,
        images=dict(Counter(sample.split or "train" for sample in now)),
        added=_sorted(counts_of(came)),
        removed=_sorted(counts_of(gone)),
        relabelled=_sorted(Counter(change for changes in differences for change in changes)),
        new_classes={name: counts_now[name] for name in sorted(counts_now) if classes and name not in classes},
        removed_classes=tuple(name for name in classes if not trained[name]),
        balance={
            name: (_fraction(counts_before, name), _fraction(counts_now, name))
            for name in sorted({**counts_before, **counts_now})
        },
        unreadable=unreadable,
        left_out={reason: len(keys) for reason, keys in (left_out or {}).items()},
        images_added=None if is_single else len(came),
        images_removed=None if is_single else len(gone),
        images_relabelled=None if is_single else len(differences),
    )


def added_samples(before: Sequence[Sample], now: Sequence[Sample]) -> tuple[Sample, ...]:
    """Return the samples of `now` whose content is not in `before`."""
    digests = {sample.digest for sample in before}
    return tuple(sample for sample in now if sample.digest not in digests)


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _fraction(counts: Counter[str], name: str) -> float:
    return counts[name] / max(1, counts.total())


def _images(count: int | None, by_class: Mapping[str, int]) -> int:
    """Return a number of images; that of ticks of one class an image is the sum over the classes."""
    return sum(by_class.values()) if count is None else count
