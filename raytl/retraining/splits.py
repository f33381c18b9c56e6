"""The split of each image, which never changes: an image is known by its bytes, and neither its copies nor the images of its
group cross into another split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from raytl.data.group_split import kept_together
from raytl.data.manifest import Sample
from raytl.data.perceptual_hash import nearest
from raytl.data.split_memory import Memory as Memory
from raytl.data.target_text import class_counts, counts_of
from raytl.errors import DataError

_TEST = "test"
_COPY_OF_TEST = "looks like a test image"
_COPY_OF_TRAINED = "test image that looks like a training image"
_UNTRAINED_CLASS = "class without training images"
_GROUP_ELSEWHERE = "its group is in another split"


@dataclass(frozen=True)
class SplitSamples:
    """The samples in their splits, the keys of those left out, by reason, and the memory of all."""

    samples: tuple[Sample, ...]
    left_out: Mapping[str, tuple[str, ...]]
    memory: Memory

    def of(self, name: str) -> tuple[Sample, ...]:
        """Return the samples of one split."""
        return tuple(sample for sample in self.samples if sample.split == name)

    def without(self, keys: Collection[str], reason: str) -> SplitSamples:
        """Return the samples without these; they keep their place in the memory."""
        retained = tuple(sample for sample in self.samples if sample.key not in keys)
        return replace(
            self, samples=retained, left_out={**self.left_out, reason: tuple(sorted(keys))} if keys else self.left_out
        )


def assign_splits(
    samples: Sequence[Sample], hashes: Mapping[str, int], memory: Memory, columns: Collection[str] = ()
) -> SplitSamples:
    """Return the samples in the splits that `memory` has; a new image gets that of its group, or keeps the one that it came with.

    A new image is left out if it looks like an image across the border between test and the other splits; so are the images
    of a class without training images. `hashes` has the perceptual hashes of new images by digest. `columns` are those whose
    values are groups: an image that `memory` has in another split than its group is left out.

    Raises:
        DataError: that leaves out all training images.
    """
    wanted, out = _wanted(samples, memory, columns)
    _check_train_remains(wanted, out, columns)
    new = sorted({digest for digest in wanted if digest not in memory.splits})
    splits = dict(memory.splits)
    for is_test, reason in ((True, _COPY_OF_TRAINED), (False, _COPY_OF_TEST)):
        mine = [digest for digest in new if (wanted[digest] == _TEST) == is_test and digest in hashes]
        others = [digest for digest, split in splits.items() if (split == _TEST) != is_test]
        others = [digest for digest in others if digest in memory.hashes or digest in hashes]
        copies = nearest([hashes[d] for d in mine], [hashes.get(d, memory.hashes.get(d, 0)) for d in others])
        out |= {digest: reason for digest, place in zip(mine, copies, strict=True) if place is not None}
        splits |= {digest: wanted[digest] for digest in mine if digest not in out}
    splits |= {digest: wanted[digest] for digest in new if digest not in hashes and digest not in out}
    return _split_samples(samples, splits, out, {**memory.hashes, **hashes})


def _wanted(
    samples: Sequence[Sample], memory: Memory, columns: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the split of each image by digest, and why an image is left out.

    The split of a group is test if one of its images was in test, else that of most of its images so far.
    """
    previous = {sample.digest: memory.splits.get(sample.digest) for sample in samples}
    wanted = {sample.digest: previous[sample.digest] or sample.split or "train" for sample in samples}
    if not columns:
        return wanted, {}
    groups = kept_together(samples, columns).tolist()
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for sample, group in zip(samples, groups, strict=True):
        if split := previous[sample.digest]:
            counts[group][split] += 1
    splits = {group: _TEST if count[_TEST] else count.most_common(1)[0][0] for group, count in counts.items()}
    own = {sample.digest: splits.get(group) for sample, group in zip(samples, groups, strict=True)}
    out = {digest: _GROUP_ELSEWHERE for digest, split in previous.items() if split and split != own[digest]}
    return {digest: own[digest] or split for digest, split in wanted.items()}, out


def _check_train_remains(wanted: Mapping[str, str], out: Mapping[str, str], columns: Collection[str]) -> None:
    """Raise a DataError if no image is in train, as their groups are in test."""
    if out and not any(split == "train" and digest not in out for digest, split in wanted.items()):
        raise DataError(
            f"data.columns: every group of {', '.join(columns)} has images in the test split of the versions before, whose splits "
            "were drawn without it, so no training images remain; expected some groups without test images. Name a column of "
            "smaller groups, or start a registry of its own, which draws the splits anew"
        )


def _split_samples(
    samples: Sequence[Sample], splits: Mapping[str, str], out: Mapping[str, str], hashes: Mapping[str, int]
) -> SplitSamples:
    """Return the samples in their `splits`, without those in `out` (digest to reason) and classes without training images."""
    retained = [replace(sample, split=splits[sample.digest]) for sample in samples if sample.digest not in out]
    trained = counts_of(sample.target for sample in retained if sample.split == "train").keys()
    reasons = {sample.key: out[sample.digest] for sample in samples if sample.digest in out}
    reasons |= {sample.key: _UNTRAINED_CLASS for sample in retained if not _is_trained(sample, trained)}
    return SplitSamples(
        samples=tuple(sample for sample in retained if _is_trained(sample, trained)),
        left_out=_by_reason(reasons),
        memory=Memory(splits, {digest: value for digest, value in hashes.items() if digest in splits}),
    )


def _is_trained(sample: Sample, trained: Collection[str]) -> bool:
    """Return True if every class in the sample has training images."""
    return all(name in trained for name in class_counts(sample.target))


def leaked(trained: Iterable[str], evaluated: Sequence[Sample], hashes: Mapping[str, int]) -> tuple[str, ...]:
    """Return the keys of evaluation images that are among the `trained` digests or look like one of them."""
    digests = sorted(set(trained))
    trained_digests = set(digests)
    copies = nearest(
        [hashes.get(sample.digest, 0) for sample in evaluated],
        [hashes[digest] for digest in digests if digest in hashes],
    )
    return tuple(
        sample.key
        for sample, place in zip(evaluated, copies, strict=True)
        if sample.digest in trained_digests or (place is not None and sample.digest in hashes)
    )


def _by_reason(reasons: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {
        reason: tuple(sorted(key for key, why in reasons.items() if why == reason))
        for reason in Counter(reasons.values())
    }
