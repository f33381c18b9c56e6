"""Samples that were found on one node, on another: the same keys, where this node has their files."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from raytl.data.formats import scan
from raytl.data.manifest import Sample
from raytl.data.unicode_names import nfc
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.store.cache import cache_root
from raytl.store.pins import pin_paths
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket

_LOOKS = 8


def on_this_node(
    samples: Sequence[Sample],
    uri: str,
    on_event: OnEvent = ignore,
    zip_encoding: str | None = None,
    s3: S3Settings = ENVIRONMENT,
) -> tuple[Sample, ...]:
    """`samples` where this node has them. A node has all of a dataset or nothing of it, so a few are looked at; where
    they are not here, what is in a bucket is pulled by the first process of the node: the others wait, and look again."""
    if any(in_bucket(each.path) for each in samples):
        return tuple(samples)  # streamed from there, on every node
    few = [*samples[:: max(1, len(samples) // _LOOKS)], *samples[-1:]]
    with _alone(uri):
        pin_paths(each.path for each in few)
        if all(Path(each.path).is_file() for each in few):
            return tuple(samples)
        return relocated(samples, uri, on_event, zip_encoding, s3)


def relocated(
    samples: Sequence[Sample],
    uri: str,
    on_event: OnEvent = ignore,
    zip_encoding: str | None = None,
    s3: S3Settings = ENVIRONMENT,
) -> tuple[Sample, ...]:
    """`samples` at the places where a scan of `uri` finds their keys; what it does not find keeps its path."""
    try:
        places = {each.key: each.path for each in scan(uri, on_event, False, zip_encoding, s3).samples}
    except DataError:  # what is missing is told by whoever opens it, in terms of the record
        return tuple(samples)
    return tuple(replace(sample, path=places.get(nfc(sample.key), sample.path)) for sample in samples)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Inside, no other process of this node looks for the data at `uri`."""
    root = cache_root() / "pulled"
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{hashlib.sha256(uri.encode()).hexdigest()[:24]}.arrival").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
