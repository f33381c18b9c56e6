"""Read every file once before training, to find broken files and duplicates and to hash its content.

Train and val images that are decoded here also go into the node's cache of decoded images.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field, replace
from itertools import chain, compress, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import DataConfig
from raytl.cpus import usable_cpus
from raytl.data.audit_cache import Finding, Findings, load_findings, save_findings
from raytl.data.bad_image import BadFile
from raytl.data.bit_depth import RGB, SIXTEEN_BITS, BitDepth, Levels, SetDepth, set_depth
from raytl.data.cache import SetWriter, set_writer
from raytl.data.decode import BadImage, Picture, loaded, read, refuse_oversized
from raytl.data.duplicates import Duplicate, cross_split, same_split_warnings
from raytl.data.feedback import is_feedback
from raytl.data.formats.skip_rules import left_out
from raytl.data.images import prepared
from raytl.data.manifest import Manifest, Note, Sample, listed
from raytl.data.mask_audit import audited_masks
from raytl.data.sample_columns import Digests
from raytl.data.sample_table import SampleTable
from raytl.data.split import apply_splits
from raytl.data.transforms import Preprocess
from raytl.errors import DataError, StoreError
from raytl.events import OnEvent, Work, ignore, throttled
from raytl.gc_pause import gc_paused
from raytl.store.contract import ObjectInfo
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

__all__ = ["AuditResult", "BadFile", "audit", "unaudited"]

_IN_FLIGHT = 4096
_FETCHERS = 32


@dataclass(frozen=True)
class AuditResult:
    """The usable samples with their splits and digests, and everything that was dropped."""

    samples: SampleTable
    skipped: tuple[BadFile, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    warnings: tuple[str, ...] = ()
    depth: SetDepth = field(default_factory=SetDepth)
    notes: tuple[Note, ...] = ()
    """The annotated objects that were dropped or clipped."""


def audit(
    manifest: Manifest,
    config: DataConfig,
    preprocess: Preprocess | None = None,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
    channels: int | None = None,
) -> AuditResult:
    """Assign the splits, read and decode every file that has no cached finding, and drop unusable samples.

    With `preprocess`, decoded train and val images are cached on the way; test images never are. The images must have `channels`,
    None = those of `preprocess`, or three.

    Raises:
        DataError: files cannot be decoded (`on_bad_image: error`), or two splits hold the same content
            (`on_duplicate: error`); all of them are listed.
    """
    samples, bad_masks = audited_masks(apply_splits(manifest.samples, config, s3), config.max_pixels, on_event, s3)
    channels = channels or (RGB if preprocess is None else preprocess.channels)
    manifest = replace(manifest, samples=samples)
    findings, writer = _findings(manifest, config, channels, preprocess, on_event, s3)
    try:
        result = _result(manifest, samples, bad_masks, findings, config, channels)
        if writer:
            writer.commit(_without_test(result.samples), result.depth.depth)
    finally:
        if writer:
            writer.abort()
    return result


def _without_test(samples: SampleTable) -> SampleTable:
    return samples.where(samples.splits.mapped(lambda split: split != "test", np.bool_))


@gc_paused()
def _result(
    manifest: Manifest,
    samples: SampleTable,
    bad_masks: Sequence[BadFile],
    findings: Findings,
    config: DataConfig,
    channels: int,
) -> AuditResult:
    is_bad = findings.reasons.astype(np.bool_)
    unread = (BadFile(samples.keys[i], samples.paths[i], findings.reasons[i]) for i in np.flatnonzero(is_bad).tolist())
    bad = (*unread, *bad_masks)
    good = samples.with_digests(Digests(findings.digests)).where(~is_bad)
    duplicates = cross_split(good)
    problems = _problems(bad, duplicates, len(samples) + len(bad_masks), config)
    if problems:
        raise DataError(f"{manifest.root}: " + "\n".join(problems))
    levels = np.column_stack([findings.levels, findings.floats])[~is_bad]
    usable = good
    if dropped := {duplicate.dropped.key for duplicate in duplicates}:
        is_usable = np.array([key not in dropped for key in good.keys])
        usable, levels = good.where(is_usable), levels[is_usable]
    depth = _depth(usable, levels, config) if channels == RGB else SetDepth()
    warnings = (
        *manifest.warnings,
        *_warnings(manifest, bad, duplicates),
        *same_split_warnings(usable),
        *depth.warnings,
    )
    return AuditResult(usable, bad, duplicates, warnings, depth, manifest.notes)


def _depth(samples: SampleTable, levels: NDArray[np.float64], config: DataConfig) -> SetDepth:
    """Return the depth of a set whose files have these `levels`: rows of largest sample, declared bits, low and high."""
    deep = levels[:, [0, 2, 3]].any(axis=1)
    is_train = samples.splits.mapped(lambda split: split == "train", np.bool_)
    train, held_out = (
        [Levels(int(row[0]), int(row[1]), row[2], row[3]) for row in levels[rows].tolist()]
        for rows in (deep & is_train, deep & ~is_train)
    )
    depth = set_depth(config.bit_depth, train, held_out, config.one_range)
    return replace(depth, depth=replace(depth.depth, window=config.window))


def _problems(bad: Sequence[BadFile], duplicates: Sequence[Duplicate], total: int, config: DataConfig) -> list[str]:
    problems = []
    if bad and (config.on_bad_image == "error" or len(bad) == total):
        problems.append(
            f"{len(bad)} of {total} images cannot be decoded:\n{listed([str(item) for item in bad])}\n"
            "Fix or remove them, or set data.on_bad_image: skip."
        )
    wrong = [duplicate for duplicate in duplicates if not is_feedback(duplicate.dropped.key)]
    if wrong and config.on_duplicate == "error":
        problems.append(
            f"{len(wrong)} images are in two splits:\n{listed([str(item) for item in wrong])}\n"
            "Keep each in one split, or set data.on_duplicate: drop to drop the copy in train."
        )
    return problems


def _warnings(manifest: Manifest, bad: Sequence[BadFile], duplicates: Sequence[Duplicate]) -> Iterator[str]:
    yield from left_out(manifest.ignored)
    if bad:
        yield f"{len(bad)} images cannot be decoded and are skipped:\n{listed([str(item) for item in bad])}"
    if duplicates:
        pairs = listed([str(item) for item in duplicates])
        yield f"{len(duplicates)} images are duplicates of images in another split and are dropped:\n{pairs}"


def unaudited(manifest: Manifest, max_pixels: int, channels: int = RGB) -> dict[str, ObjectInfo]:
    """Return the objects that `audit` has to fetch, by path: those without a current finding on this node."""
    cached = _current(load_findings(manifest.samples, max_pixels, channels), manifest.objects)
    paths = compress(cached.table.paths, (~cached.is_read).tolist())
    return {path: manifest.objects[path] for path in paths if path in manifest.objects}


def _findings(
    manifest: Manifest,
    config: DataConfig,
    channels: int,
    preprocess: Preprocess | None,
    on_event: OnEvent,
    s3: S3Settings,
) -> tuple[Findings, SetWriter | None]:
    """Return the finding of each sample, cached or fresh, and the writer that holds the images decoded on the way."""
    samples, objects = manifest.samples, manifest.objects
    findings = _current(load_findings(samples, config.max_pixels, channels), objects)
    unread = np.flatnonzero(~findings.is_read)
    reading = _Reading(findings.table.take(unread), objects, preprocess, config, channels, s3)
    try:
        for row, finding in zip(unread.tolist(), _progress(reading.run(), len(unread), on_event), strict=True):
            findings.put(row, finding)
    except BaseException:
        reading.abort()
        raise
    if len(unread):
        save_findings(config.max_pixels, findings, channels)
    return findings, reading.writer


def _current(findings: Findings, objects: Mapping[str, ObjectInfo]) -> Findings:
    """Return the findings without those of files and objects that changed since they were read."""
    rows = np.flatnonzero(findings.is_read)
    paths = compress(findings.table.paths, findings.is_read.tolist())
    times: Iterator[tuple[int, int, int]] = map(_times, paths)
    if objects:
        times = (
            _times(path) if path not in objects else _as_listed(findings, row, objects[path])
            for row, path in zip(rows.tolist(), paths, strict=True)
        )
    now = np.fromiter(chain.from_iterable(times), np.int64, 3 * len(rows)).reshape(-1, 3)
    is_same = (findings.numbers[rows] == now).all(axis=1)
    findings.is_read[rows] = is_same
    return findings


def _times(path: str) -> tuple[int, int, int]:
    """Return size and times of a file; impossible ones if it is gone."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a million of them
    except OSError:
        return -1, -1, -1
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _as_listed(findings: Findings, row: int, info: ObjectInfo) -> tuple[int, int, int]:
    """Return the size of an object and its recorded times; impossible ones if it is another object by its ETag."""
    times = findings.numbers[row, 1:].tolist()
    return (info.size, *times) if findings.etags[row] == info.etag else (-1, -1, -1)


def _progress(findings: Iterator[Finding], total: int, on_event: OnEvent) -> Iterator[Finding]:
    """Yield the findings and report progress."""
    report = throttled(on_event, first_s=0)
    for done, item in enumerate(findings, start=1):
        report(Work("reading images", done, total))
        yield item


def _read_as_listed(sample: Sample, max_pixels: int, s3: S3Settings) -> bytes:
    """Return the bytes of the sample; if its SHA-256 is known (a part of a shard), only bytes that match."""
    for _ in range(2):
        data = read(sample.path, max_pixels, s3)
        if not sample.digest or hashlib.sha256(data).hexdigest() == sample.digest:
            return data
    raise StoreError(f"{sample.path}: its content changed since it was listed; run again")


class _Reading:
    """Reads files in threads (Pillow decodes without the GIL) and passes images to the cache."""

    def __init__(
        self,
        samples: SampleTable,
        objects: Mapping[str, ObjectInfo],
        preprocess: Preprocess | None,
        config: DataConfig,
        channels: int,
        s3: S3Settings,
    ) -> None:
        self._samples, self._objects = samples, objects
        self._max_pixels, self._s3, self._channels = config.max_pixels, s3, channels
        self._fixed = None if config.bit_depth == "auto" else BitDepth(config.bit_depth, fixed=True)
        self._preprocess = (
            preprocess.at(replace(self._fixed or SIXTEEN_BITS, window=config.window)) if preprocess else None
        )
        cached = _without_test(samples)
        self._slots = {key: slot for slot, key in enumerate(cached.keys)}
        self.writer = set_writer(cached, self._preprocess, config) if self._preprocess and cached else None

    def run(self) -> Iterator[Finding]:
        """Yield each sample's finding, in order."""
        samples = iter(self._samples)
        with ThreadPoolExecutor(_FETCHERS if self._objects else usable_cpus()) as pool:
            try:
                while batch := list(islice(samples, _IN_FLIGHT)):
                    yield from pool.map(self._read, batch)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def abort(self) -> None:
        """Discard the cached images."""
        if self.writer:
            self.writer.abort()

    def _read(self, sample: Sample) -> Finding:
        size = mtime_ns = ctime_ns = 0
        digest = etag = ""
        try:  # read before the bytes, so that a change in between is detected next time
            if info := self._objects.get(sample.path):
                size, etag = info.size, info.etag
                refuse_oversized(size, self._max_pixels)
            else:
                status = Path(sample.path).stat()
                size, mtime_ns, ctime_ns = status.st_size, status.st_mtime_ns, status.st_ctime_ns
            data = _read_as_listed(sample, self._max_pixels, self._s3)
            digest = hashlib.sha256(data).hexdigest()
            levels = self._decode(sample, data)
        except OSError as exc:
            return Finding(size, mtime_ns, ctime_ns, digest, f"cannot be read ({exc.strerror or exc})")
        except BadImage as exc:
            return Finding(size, mtime_ns, ctime_ns, digest, exc.reason, etag)
        return Finding(size, mtime_ns, ctime_ns, digest, "", etag, *astuple(levels))

    def _decode(self, sample: Sample, data: bytes) -> Levels:
        with loaded(data, self._max_pixels, self._s3, self._channels) as picture:
            if self._preprocess and self.writer and sample.split != "test" and self._is_scaled(picture):
                self.writer.add(self._slots[sample.key], prepared(picture, self._preprocess))
            return picture.levels

    def _is_scaled(self, picture: Picture) -> bool:
        """Return whether the scaling is known; images of undeclared depth, floats and other channels wait until every image has
        been read."""
        if self._channels != RGB or (picture.channels is not None and picture.channels.has_set_range):
            return False
        levels = picture.levels
        return not levels.top or bool(levels.declared) or self._fixed is not None
