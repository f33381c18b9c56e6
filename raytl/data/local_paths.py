"""Find the files of samples on this node when another node scanned them: same keys, local paths."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from raytl.config.annotations import AnnotationsConfig
from raytl.data.formats import root_of, scan
from raytl.data.formats.unlabelled import scan_unlabelled
from raytl.data.manifest import Sample
from raytl.data.recorded_objects import fetched, identity
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Boxes, Instances, Labels, Mask
from raytl.data.unicode_names import Lookup, nfc
from raytl.errors import DataError, Denied, Unavailable, first_line
from raytl.events import Message, OnEvent, ignore
from raytl.store.audited import are_marked, is_audited_here, mark
from raytl.store.cache import cache_root
from raytl.store.pins import evict, pin_paths
from raytl.store.pulled import Place, places_with
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.store.sync import pull
from raytl.uris import in_bucket, is_archive_name, is_table_name

_CHECKED = 8
_ANNOTATED = (Labels, Mask, Boxes, Instances)
_SOURCE = "data.uri"
_LENIENT = AnnotationsConfig(on_bad_box="drop")
"""The rules for finding the images of annotations that were read before."""


def on_this_node(
    samples: Sequence[Sample],
    uri: str,
    on_event: OnEvent = ignore,
    zip_encoding: str | None = None,
    s3: S3Settings = ENVIRONMENT,
    audited: str = "",
    limit_bytes: int | None = None,
) -> SampleTable:
    """Return `samples`, which the driver that sent the name `audited` has audited, with their paths on this node (see `current`)."""
    table = SampleTable.of(samples)
    relocate = partial(_relocated, uri=uri, on_event=on_event, zip_encoding=zip_encoding, s3=s3)
    try:
        return current(table, uri, relocate, on_event, s3, audited, limit_bytes)
    except DataError:  # missing files are reported when they are opened
        return table
    except (Denied, Unavailable) as error:
        if not are_here(_some(table)):
            raise
        text = f"{uri}: {first_line(error)}; this node's copy is used, and each file is verified when it is read"
        on_event(Message(text, "warning"))
        return table


def current(
    samples: SampleTable,
    uri: str,
    relocate: Callable[[SampleTable], SampleTable],
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
    audited: str = "",
    limit_bytes: int | None = None,
) -> SampleTable:
    """Return `samples` with their paths on this node. A node has all of a dataset or nothing, so only a few are checked. If they
    are missing, or an earlier pull left them here, the first process of the node downloads those that the bucket has now, while
    the others wait and check again. It lists the bucket, by `relocate`, only if the samples do not say enough. After a download,
    up to `limit_bytes` of data that no process uses stay on the node (None: all)."""
    if not samples or samples.paths.any_in(in_bucket):
        return samples  # every node streams them
    checked, is_audited = _some(samples), is_audited_here(audited)
    places = set[Place]() if is_audited else places_with(samples.paths.beginnings())
    name = identity(samples) if places else ""
    with exclusive(uri):
        pin_paths(each.path for each in checked)
        if are_here(checked) and are_marked(places, [name, audited]):
            return samples
        name = name or identity(samples)
        moved = fetched(samples, uri, name, on_event, s3, limit_bytes)
        if moved is None or not are_here(_some(moved)):
            moved = relocate(samples)
            if are_here(_some(moved)):
                mark(places_with(moved.paths.beginnings()), [name, audited])
            if limit_bytes is not None:
                evict(limit_bytes)
        return moved


def relocated(
    samples: Sequence[Sample],
    uri: str,
    on_event: OnEvent = ignore,
    zip_encoding: str | None = None,
    s3: S3Settings = ENVIRONMENT,
) -> SampleTable:
    """Return `samples` with the paths from a scan of `uri`; samples it does not find keep their path."""
    table = SampleTable.of(samples)
    try:
        return _relocated(table, uri, on_event, zip_encoding, s3)
    except DataError:  # missing files are reported when they are opened
        return table


def _relocated(
    samples: SampleTable, uri: str, on_event: OnEvent, zip_encoding: str | None, s3: S3Settings
) -> SampleTable:
    kinds = samples.kinds()
    if kinds.intersection(_ANNOTATED) and (root := root_of(uri, on_event, zip_encoding, s3)):
        lookup = Lookup()
        return SampleTable.of(_below(root, sample, lookup) for sample in samples)
    if (below := _below_pulled(samples, uri, on_event, s3)) is not None:
        return below
    if is_table_name(uri) and not kinds.intersection(_ANNOTATED):
        return _by_row(samples, uri, on_event, s3)
    prefer = (str,) if kinds == {str} else ()
    places = {each.key: each.path for each in scan(uri, on_event, False, zip_encoding, s3, _LENIENT, prefer).samples}
    return samples.with_paths(places.get(nfc(key), path) for key, path in zip(samples.keys, samples.paths, strict=True))


def _below_pulled(samples: SampleTable, uri: str, on_event: OnEvent, s3: S3Settings) -> SampleTable | None:
    """Return the samples of a pulled prefix without a scan, which would hold each path in memory; None for other data."""
    if not in_bucket(uri) or is_table_name(uri) or is_archive_name(uri) or not samples.keys.is_ascii:
        return None
    moved = samples.with_base(f"{pull(uri, on_event, s3=s3)}/")
    return moved if are_here(_some(moved)) else None


def _by_row(samples: SampleTable, uri: str, on_event: OnEvent, s3: S3Settings) -> SampleTable:
    """Return the samples with the files of a manifest's rows; a label may be in another column (`labels.columns`)."""
    rows = scan_unlabelled(uri, _SOURCE, on_event, s3=s3).samples
    places = {name.removeprefix(f"{_SOURCE}:"): path for name, path in zip(rows.keys, rows.paths, strict=True)}
    return samples.with_paths(places.get(nfc(key), path) for key, path in zip(samples.keys, samples.paths, strict=True))


def _some(samples: SampleTable) -> list[Sample]:
    return [*samples[:: max(1, len(samples) // _CHECKED)], *samples[-1:]]


def are_here(samples: Sequence[Sample]) -> bool:
    """Return whether the files of all samples are on this node."""
    return all(Path(each.path).is_file() for each in samples)


def _below(root: Path, sample: Sample, lookup: Lookup) -> Sample:
    """Return an annotated sample with its files at their keys below `root`; those that are missing there keep their path."""
    target = sample.target
    if isinstance(target, Mask):
        target = replace(target, path=lookup.find(f"{root}/{target.key}") or target.path)
    return replace(sample, path=lookup.find(f"{root}/{sample.key}") or sample.path, target=target)


@contextmanager
def exclusive(uri: str) -> Iterator[None]:
    """Hold the node-wide lock for locating the data at `uri`."""
    root = cache_root() / "pulled"
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{hashlib.sha256(uri.encode()).hexdigest()[:24]}.arrival").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
