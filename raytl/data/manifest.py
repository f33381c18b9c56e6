"""Represent a dataset as values: samples with targets, independent of the layout that they came in."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from operator import attrgetter

from raytl.data.sample import Sample as Sample
from raytl.data.sample_columns import Targets
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Mask, Target, names_in, nfc_target, target_record
from raytl.data.texts import Coded
from raytl.data.unicode_names import nearly_equal, nfc
from raytl.errors import DataError
from raytl.gc_pause import gc_paused
from raytl.store.contract import ObjectInfo

SPLITS = ("train", "val", "test")
_DIGESTED = 4096
_Row = tuple[str, str, str, str]
"""Key, content of the target, split and digest of a sample."""
_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True, slots=True)
class Note:
    """Objects that were changed on reading: `action` is "dropped" or "clipped", `examples` are the first places."""

    action: str
    reason: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """All samples of a dataset, sorted by key; `root` is the folder or URI as the user named it."""

    root: str
    samples: SampleTable
    classes: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    """Files that are not samples: not images by their extension, or images outside all class folders."""
    warnings: tuple[str, ...] = ()
    objects: Mapping[str, ObjectInfo] = field(default_factory=dict)
    """The store's listing of samples that stay in their bucket, by path."""
    notes: tuple[Note, ...] = ()
    """The objects that were dropped or clipped."""
    corrections: Mapping[str, int] = field(default_factory=dict)
    """The number of images that `labels.relabel` relabelled and left out; empty without it."""


def build_manifest(
    root: str, samples: Iterable[Sample], ignored: Iterable[str] = (), warnings: Iterable[str] = ()
) -> Manifest:
    """Return a manifest with keys and names normalized to NFC; class names need at least two classes.

    Raises:
        DataError: there are no samples, all are of one class, or two have the same name.
    """
    ordered = _in_nfc(SampleTable.of(samples)).by_key()
    if not ordered:
        raise DataError(f"{root}: no images found; expected class folders of images, or a manifest that lists images")
    if not ordered.is_ordered:
        raise _clash(root, ordered)
    counts = Counter[str]()
    for target, count in ordered.targets.counts():
        counts.update(dict.fromkeys(names_in(target), count))
    if len(counts) == 1 and ordered.kinds() == {str}:
        raise DataError(
            f"{root}: all {len(ordered)} images are of one class, {next(iter(counts))!r}; expected two or more. "
            "Add images of another class."
        )
    return Manifest(root, ordered, tuple(sorted(counts)), tuple(sorted(ignored)), (*warnings, *nearly_equal(counts)))


def _clash(root: str, ordered: Iterable[Sample]) -> DataError:
    """Return the error for samples with equal keys."""
    clashes = {one.key: (one, other) for one, other in pairwise(ordered) if one.key == other.key}
    return DataError(
        f"{root}: {len(clashes)} image names occur twice:\n"
        f"{listed([_pair(*sorted(pair, key=attrgetter('path'))) for pair in clashes.values()])}\nRename one of each pair."
    )


def _in_nfc(samples: SampleTable) -> SampleTable:
    if samples.keys.is_ascii and all(nfc_target(target) is target for target, _ in samples.targets.counts()):
        return samples
    return SampleTable.of(map(to_nfc, samples))


def to_nfc(sample: Sample) -> Sample:
    """Return the sample with its key and the names of its target normalized to NFC."""
    target = nfc_target(sample.target)
    return (
        sample
        if target is sample.target and sample.key.isascii()
        else replace(sample, key=nfc(sample.key), target=target)
    )


def _pair(one: Sample, other: Sample) -> str:
    """Return their common key; if their paths differ, also these with accents escaped, as both look the same."""
    return one.key if one.path == other.path else f"{one.key}: {one.path!a} and {other.path!a}"


def split_name(text: str) -> str | None:
    """Return train, val or test for its common spellings (Valid, validation, TESTING, ...), None for any other word."""
    return _SPLIT_NAMES.get(text.strip().lower())


@gc_paused()
def dataset_digest(samples: Sequence[Sample]) -> str:
    """Return the SHA-256 (hex) over the key, target, split and content of all samples, independent of their order."""
    digest, separator = hashlib.sha256(b"["), ""
    table = SampleTable.of(samples)
    rows = _rows(table) if table.is_ordered else _sorted_rows(table.by_key())
    while part := list(islice(rows, _DIGESTED)):  # in chunks, as the text of a million rows takes 300 MB
        digest.update((separator + json.dumps(part)[1:-1]).encode())
        separator = ", "
    digest.update(b"]")
    return digest.hexdigest()


def _sorted_rows(samples: SampleTable) -> Iterator[_Row]:
    return _rows(samples) if samples.is_ordered else iter(sorted(_rows(samples)))


def _rows(samples: SampleTable) -> Iterator[_Row]:
    splits = (split or "" for split in samples.splits)
    return zip(samples.keys, contents(samples.targets), splits, samples.digests, strict=True)


def contents(targets: Targets) -> Iterator[str]:
    """Yield the content of each target; equal ones are written once."""
    if not isinstance(targets, Coded):
        return map(content_of, targets)
    return iter(Coded([content_of(value) for value in targets.values], targets.codes))


def content_of(target: Target) -> str:
    """Return the text of everything that a target says; of a mask, the content of its file and not its place."""
    if isinstance(target, str):
        return target
    if isinstance(target, Mask):
        target = replace(target, key="" if target.digest else target.key, path="")
    return json.dumps(target_record(target), sort_keys=True)


def snapshot_id(digest: str) -> str:
    """Return the short name of a dataset: the first 16 hex digits of its digest."""
    return digest[:16]


def listed(items: Sequence[str], limit: int = 10, total: int | None = None) -> str:
    """Return the first items, one per line, and the number of further ones; `total` is their count if `items` is incomplete."""
    lines = [f"  {item}" for item in items[:limit]]
    if (more := (len(items) if total is None else total) - len(lines)) > 0:
        lines.append(f"  ... and {more} more")
    return "\n".join(lines)
