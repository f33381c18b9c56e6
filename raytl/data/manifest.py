"""What a dataset is: samples with a label each, as values, whatever layout they came in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import attrgetter

from raytl.data.gc_pause import gc_paused
from raytl.data.unicode_names import nearly_equal, nfc
from raytl.errors import DataError
from raytl.store.contract import ObjectInfo

SPLITS = ("train", "val", "test")
_DIGESTED = 4096
_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: `key` is its posix path under the dataset's root, `path` its file on this node, or its s3:// URI."""

    key: str
    path: str
    label: str
    split: str | None = None
    """train, val or test; None where the data does not say."""
    digest: str = ""
    """sha256 of the file's bytes in hex; empty before the audit."""

    def record(self) -> dict[str, str | None]:
        """The sample as a JSON object, for a run's samples.jsonl."""
        return {"key": self.key, "path": self.path, "label": self.label, "split": self.split, "digest": self.digest}

    def with_split(self, split: str) -> Sample:
        """Return the sample on this side of the split; itself where it is there already."""
        return self if self.split == split else Sample(self.key, self.path, self.label, split, self.digest)

    def with_digest(self, digest: str) -> Sample:
        """Return the sample with the digest of its file's bytes."""
        return self if self.digest == digest else Sample(self.key, self.path, self.label, self.split, digest)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All samples of a dataset, sorted by key; `root` is the folder or URI as the user named it."""

    root: str
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    """Files that are no samples: not images by their extension, or images outside any class folder."""
    warnings: tuple[str, ...] = ()
    objects: Mapping[str, ObjectInfo] = field(default_factory=dict)
    """What the store's listing says of the samples that stay there, by their path."""


def build_manifest(
    root: str, samples: Iterable[Sample], ignored: Iterable[str] = (), warnings: Iterable[str] = ()
) -> Manifest:
    """The manifest of at least two classes; keys and labels are in NFC, whatever form they are stored in.

    Raises:
        DataError: there is no sample, all are of one class, or two have one name.
    """
    ordered = tuple(sorted(map(to_nfc, samples), key=attrgetter("key")))
    twice = {one.key: (one, other) for one, other in pairwise(ordered) if one.key == other.key}
    if twice:
        raise DataError(
            f"{root}: {len(twice)} images are there twice under one name:\n"
            f"{listed([_pair(*sorted(pair, key=attrgetter('path'))) for pair in twice.values()])}\nRename one of each."
        )
    classes = tuple(sorted({sample.label for sample in ordered}))
    if not ordered:
        raise DataError(f"{root}: no images found; expected class folders of images, or a manifest that lists some")
    if len(classes) == 1:
        raise DataError(
            f"{root}: all {len(ordered)} images are of one class, {classes[0]!r}; a classifier needs two or more: "
            "add images of another class"
        )
    notes = (*warnings, *nearly_equal(sample.label for sample in ordered))
    return Manifest(root, ordered, classes, tuple(sorted(ignored)), notes)


def to_nfc(sample: Sample) -> Sample:
    """Return the sample with its key and label in NFC."""
    if sample.key.isascii() and sample.label.isascii():
        return sample
    return replace(sample, key=nfc(sample.key), label=nfc(sample.label))


def _pair(one: Sample, other: Sample) -> str:
    """Return the key of both; where their paths differ, those with all accents escaped, as both look the same."""
    return one.key if one.path == other.path else f"{one.key}: {one.path!a} and {other.path!a}"


def split_name(text: str) -> str | None:
    """train, val or test as people write them (Valid, validation, TESTING ...), or None for any other word."""
    return _SPLIT_NAMES.get(text.strip().lower())


@gc_paused()
def dataset_digest(samples: Sequence[Sample]) -> str:
    """sha256 (hex) over every sample's key, label, split and content: the dataset's fingerprint, in any order."""
    digest, between = hashlib.sha256(b"["), ""
    ordered = sorted(samples, key=attrgetter("key"))
    if any(one.key == other.key for one, other in pairwise(ordered)):
        ordered.sort(key=_row)
    for start in range(0, len(ordered), _DIGESTED):  # in parts, as the text of a million rows takes 300 MB
        digest.update((between + json.dumps([_row(s) for s in ordered[start : start + _DIGESTED]])[1:-1]).encode())
        between = ", "
    digest.update(b"]")
    return digest.hexdigest()


def _row(sample: Sample) -> tuple[str, str, str, str]:
    return sample.key, sample.label, sample.split or "", sample.digest


def snapshot_id(digest: str) -> str:
    """The dataset's name for people: the first 16 hex digits of its digest."""
    return digest[:16]


def listed(items: Sequence[str], most: int = 10, total: int | None = None) -> str:
    """Return the first items, one on a line, and how many more there are; `total` counts those left out of `items` too."""
    lines = [f"  {item}" for item in items[:most]]
    if (more := (len(items) if total is None else total) - len(lines)) > 0:
        lines.append(f"  ... and {more} more")
    return "\n".join(lines)
