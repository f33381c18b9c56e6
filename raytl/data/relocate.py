"""Samples that were found on one node, on another: the same keys, where this node has their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from raytl.data.formats import scan
from raytl.data.manifest import Sample
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.store.claims import claim_those
from raytl.store.open import in_bucket

_LOOKS = 8


def on_this_node(samples: Sequence[Sample], uri: str, on_event: OnEvent = ignore) -> tuple[Sample, ...]:
    """`samples` where this node has them. A node has all of a dataset or nothing of it, so a few are looked at; where
    they are not here, what is in a bucket is pulled, once for all processes of the node."""
    if any(in_bucket(each.path) for each in samples):
        return tuple(samples)  # streamed from there, on every node
    few = [*samples[:: max(1, len(samples) // _LOOKS)], *samples[-1:]]
    claim_those(each.path for each in few)
    return tuple(samples) if all(Path(each.path).is_file() for each in few) else relocated(samples, uri, on_event)


def relocated(samples: Sequence[Sample], uri: str, on_event: OnEvent = ignore) -> tuple[Sample, ...]:
    """`samples` at the places where a scan of `uri` finds their keys; what it does not find keeps its path."""
    try:
        places = {each.key: each.path for each in scan(uri, on_event).samples}
    except DataError:  # what is missing is told by whoever opens it, in terms of the record
        return tuple(samples)
    return tuple(replace(sample, path=places.get(sample.key, sample.path)) for sample in samples)
