"""Define how runs, sweeps and snapshots store samples: JSON lines of key, path, target, split and digest."""

from __future__ import annotations

from typing import Annotated

from raytl.data.manifest import Sample
from raytl.stored import Format
from raytl.stored.bounds import Bound

_SPLITS = (None, "train", "val", "test")


def _is_sample(sample: Sample) -> bool:
    is_open = bool(sample.key) and sample.target != "" and "\0" not in sample.path and "\0" not in sample.key
    return is_open and sample.split in _SPLITS and (not sample.digest or _is_hex(sample.digest))


def _is_hex(digest: str) -> bool:
    return len(digest) <= 64 and not digest.strip("0123456789abcdef")


SAMPLE_FORMAT = Format[Sample](
    Annotated[
        Sample,
        Bound("a key and a target, no NUL in key or path, a split (train, val, test or null) and a digest", _is_sample),
    ],
    "the record of a sample",
    "The file was damaged or edited: restore or regenerate it.",
    max_bytes=(1 << 20) - 1,
)
