"""Every file is read once before training: what is broken, what is there twice, and what its bytes hash to.

Images that are decoded on the way and will be trained or validated on go into the node's cache of decoded images.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from raytl.config.schema import DataConfig
from raytl.data.audit_cache import Finding, load_findings, save_findings
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth, Levels, SetDepth, set_depth
from raytl.data.cache import SetWriter, set_writer
from raytl.data.decode import BadImage, loaded, read, refuse_oversized
from raytl.data.duplicates import Duplicate, cross_split, same_side_warnings
from raytl.data.formats.skip_rules import left_out
from raytl.data.gc_pause import gc_paused
from raytl.data.manifest import Manifest, Sample, listed
from raytl.data.split import apply_splits
from raytl.data.transforms import Preprocess, prepare
from raytl.errors import DataError, StoreError
from raytl.events import OnEvent, Work, ignore
from raytl.store.contract import ObjectInfo
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.throttle import Throttle

_EVENT_EVERY_S = 0.1
_IN_FLIGHT = 4096
_FETCHERS = 32


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that cannot be used, and why."""

    key: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key!r}: {self.reason}"


@dataclass(frozen=True)
class AuditResult:
    """The samples that can be used, with split and digest, and what was left out."""

    samples: tuple[Sample, ...]
    skipped: tuple[BadFile, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    warnings: tuple[str, ...] = ()
    depth: SetDepth = field(default_factory=SetDepth)


def audit(
    manifest: Manifest,
    config: DataConfig,
    preprocess: Preprocess | None = None,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
) -> AuditResult:
    """Assigns the splits, reads and decodes every file that is not remembered, and drops what cannot be used.

    With `preprocess`, decoded train and val images are cached on the way; test images never are.

    Raises:
        DataError: files that cannot be decoded (`on_bad_image: error`), or the same content on two sides of the
            split (`on_duplicate: error`), all of them listed.
    """
    samples = apply_splits(manifest.samples, config, s3)
    findings, writer = _findings(replace(manifest, samples=samples), config, preprocess, on_event, s3)
    try:
        audited = _judged(manifest, samples, findings, config)
        if writer:
            writer.commit([sample for sample in audited.samples if sample.split != "test"], audited.depth.depth)
    finally:
        if writer:
            writer.abort()
    return audited


@gc_paused()
def _judged(
    manifest: Manifest, samples: Sequence[Sample], findings: dict[str, Finding], config: DataConfig
) -> AuditResult:
    bad = tuple(BadFile(s.key, s.path, findings[s.path].reason) for s in samples if findings[s.path].reason)
    good = [s.with_digest(findings[s.path].digest) for s in samples if not findings[s.path].reason]
    copies = cross_split(good)
    problems = _problems(bad, copies, len(samples), config)
    if problems:
        raise DataError(f"{manifest.root}: " + "\n".join(problems))
    dropped = {copy.dropped.key for copy in copies}
    kept = tuple(sample for sample in good if sample.key not in dropped) if dropped else tuple(good)
    depth = _depth(kept, findings, config)
    notes = (*manifest.warnings, *_notes(manifest, bad, copies), *same_side_warnings(kept), *depth.warnings)
    return AuditResult(kept, bad, copies, notes, depth)


def _depth(kept: Sequence[Sample], findings: Mapping[str, Finding], config: DataConfig) -> SetDepth:
    deep = [sample for sample in kept if findings[sample.path].top]
    train = [findings[sample.path].levels for sample in deep if sample.split == "train"]
    held_out = [findings[sample.path].levels for sample in deep if sample.split != "train"]
    return set_depth(config.bit_depth, train, held_out)


def _problems(bad: Sequence[BadFile], copies: Sequence[Duplicate], total: int, config: DataConfig) -> list[str]:
    found = []
    if bad and (config.on_bad_image == "error" or len(bad) == total):
        found.append(
            f"{len(bad)} of {total} images cannot be decoded:\n{listed([str(item) for item in bad])}\n"
            "Mend or remove them, or set data.on_bad_image: skip to leave them out."
        )
    if copies and config.on_duplicate == "error":
        found.append(
            f"{len(copies)} images are on two sides of the split:\n{listed([str(item) for item in copies])}\n"
            "Keep each on one side, or set data.on_duplicate: drop to leave out the copy in train."
        )
    return found


def _notes(manifest: Manifest, bad: Sequence[BadFile], copies: Sequence[Duplicate]) -> Iterator[str]:
    yield from left_out(manifest.ignored)
    if bad:
        yield f"{len(bad)} images cannot be decoded and are left out:\n{listed([str(item) for item in bad])}"
    if copies:
        shown = listed([str(item) for item in copies])
        yield f"{len(copies)} images are on another side of the split too and are left out there:\n{shown}"


def unaudited(manifest: Manifest, max_pixels: int) -> dict[str, ObjectInfo]:
    """The objects that `audit` would have to fetch, as nobody on this node looked at them as they are now."""
    known = load_findings(manifest.samples, max_pixels)
    return {
        path: found
        for path, found in manifest.objects.items()
        if path not in known or not known[path].is_current(found)
    }


def _findings(
    manifest: Manifest, config: DataConfig, preprocess: Preprocess | None, on_event: OnEvent, s3: S3Settings
) -> tuple[dict[str, Finding], SetWriter | None]:
    """What each path holds, from memory or by reading; the writer has the decoded images of what was read."""
    samples, objects = manifest.samples, manifest.objects
    held = load_findings(samples, config.max_pixels)
    for path in [path for path, finding in held.items() if not _holds(finding, path, objects)]:
        del held[path]
    fresh = [sample for sample in samples if sample.path not in held]
    reading = _Reading(fresh, objects, preprocess, config, s3)
    try:
        read_now = dict(_progress(reading.run(), len(fresh), on_event))
    except BaseException:
        reading.abort()
        raise
    findings = held | read_now if read_now else held
    if fresh:
        save_findings(samples, config.max_pixels, findings)
    return findings, reading.writer


def _holds(finding: Finding, path: str, objects: Mapping[str, ObjectInfo]) -> bool:
    try:
        return finding.is_current(objects[path] if path in objects else os.stat(path))  # noqa: PTH116 - a million of them
    except OSError:
        return False


def _progress(findings: Iterator[tuple[str, Finding]], total: int, on_event: OnEvent) -> Iterator[tuple[str, Finding]]:
    """Yield the findings and report progress, at most ten times a second."""
    throttle = Throttle(_EVENT_EVERY_S)
    for done, item in enumerate(findings, start=1):
        if throttle.is_due() or done == total:
            on_event(Work("reading images", done, total))
        yield item


def _read_as_listed(sample: Sample, max_pixels: int, s3: S3Settings) -> bytes:
    """The sample's bytes; of a part of a shard, whose sha256 is known already, those that have it."""
    for _ in range(2):
        data = read(sample.path, max_pixels, s3)
        if not sample.digest or hashlib.sha256(data).hexdigest() == sample.digest:
            return data
    raise StoreError(f"{sample.path}: other bytes came than were there when it was listed; run again")


class _Reading:
    """Reads files in threads (Pillow decodes outside Python's lock) and keeps what is to be cached."""

    def __init__(
        self,
        samples: Sequence[Sample],
        objects: Mapping[str, ObjectInfo],
        preprocess: Preprocess | None,
        config: DataConfig,
        s3: S3Settings,
    ) -> None:
        self._samples, self._objects = samples, objects
        self._max_pixels, self._s3 = config.max_pixels, s3
        self._fixed = None if config.bit_depth == "auto" else BitDepth(config.bit_depth, fixed=True)
        self._preprocess = preprocess.at(self._fixed or SIXTEEN_BITS) if preprocess else None
        cached = [sample for sample in samples if sample.split != "test"]
        self._slots = {sample.key: slot for slot, sample in enumerate(cached)}
        self.writer = set_writer(cached, self._preprocess, config) if self._preprocess and cached else None

    def run(self) -> Iterator[tuple[str, Finding]]:
        """Each sample's path and finding, in order."""
        samples = iter(self._samples)
        with ThreadPoolExecutor(_FETCHERS if self._objects else len(os.sched_getaffinity(0))) as pool:
            try:
                while some := list(islice(samples, _IN_FLIGHT)):
                    yield from zip((s.path for s in some), pool.map(self._read, some), strict=True)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def abort(self) -> None:
        """Throws away what was kept."""
        if self.writer:
            self.writer.abort()

    def _read(self, sample: Sample) -> Finding:
        size = mtime_ns = ctime_ns = 0
        digest = etag = ""
        try:  # what tells a change is asked for before the bytes, so that a change in between is seen next time
            if found := self._objects.get(sample.path):
                size, etag = found.size, found.etag
                refuse_oversized(size, self._max_pixels)
            else:
                status = Path(sample.path).stat()
                size, mtime_ns, ctime_ns = status.st_size, status.st_mtime_ns, status.st_ctime_ns
            data = _read_as_listed(sample, self._max_pixels, self._s3)
            digest = hashlib.sha256(data).hexdigest()
            levels = self._keep(sample, data)
        except OSError as exc:
            return Finding(size, mtime_ns, ctime_ns, digest, f"cannot be read ({exc.strerror or exc})")
        except BadImage as exc:
            return Finding(size, mtime_ns, ctime_ns, digest, exc.reason, etag)
        return Finding(size, mtime_ns, ctime_ns, digest, "", etag, levels.top, levels.declared)

    def _keep(self, sample: Sample, data: bytes) -> Levels:
        with loaded(data, self._max_pixels, self._s3) as picture:
            if self._preprocess and self.writer and sample.split != "test" and self._is_scaled(picture.levels):
                image = picture.rgb(self._preprocess.bit_depth)
                self.writer.add(self._slots[sample.key], prepare(image, self._preprocess))
            return picture.levels

    def _is_scaled(self, levels: Levels) -> bool:
        """Return whether the pixels are known already; those of an undeclared depth wait until every image was read."""
        return not levels.top or bool(levels.declared) or self._fixed is not None
