"""Identify a dataset by its content: the same samples, labels, splits and bytes have the same snapshot ID anywhere.

The content behind each ID is stored on the node, so that differences can be reported key by key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raytl.config.annotations import AnnotationsConfig
from raytl.config.labels import LabelsConfig
from raytl.config.schema import DataConfig
from raytl.data.audit import AuditResult, BadFile, audit
from raytl.data.formats import AS_FOUND, scan
from raytl.data.given_labels import AS_GIVEN, with_labels
from raytl.data.manifest import SPLITS, Manifest, Sample, content_of, dataset_digest, listed, snapshot_id
from raytl.data.sample_table import SampleTable
from raytl.data.samples import SAMPLE_FORMAT, records
from raytl.data.split import images_by_class
from raytl.errors import DataError, RunError
from raytl.events import OnEvent, ignore
from raytl.gc_pause import gc_paused
from raytl.store.cache import cache_root
from raytl.store.files import atomic_write
from raytl.store.pins import evict
from raytl.store.s3_settings import ENVIRONMENT, S3Settings


@dataclass(frozen=True)
class Snapshot:
    """A dataset at one point in time: its `id`, images by split that contain each class, their bytes, their folder on this node, and the
    skipped files."""

    id: str
    uri: str
    images: dict[str, dict[str, int]]
    size_bytes: int
    folder: str
    skipped: tuple[BadFile, ...]
    warnings: tuple[str, ...]
    count: int
    """The number of images; one image may contain several classes."""


def take(
    config: DataConfig,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
    annotations: AnnotationsConfig = AS_FOUND,
    prefer: tuple[type, ...] = (),
    labels: LabelsConfig = AS_GIVEN,
    channels: int | None = None,
) -> Snapshot:
    """Return the snapshot of the data at `data.uri`, which is first synced if it is in a bucket. Its images have so
    many `channels`, None = three.

    Raises:
        DataError: see `raytl.data`; also if `data.snapshot` is another one, with the differences.
        StoreError: an object store failed.
    """
    manifest = scan(
        config.uri,
        on_event,
        config.stream,
        config.zip_encoding,
        s3,
        annotations,
        prefer,
        config.columns,
        labels.columns,
    )
    manifest = with_labels(manifest, config, labels, on_event, s3)
    evict(int(config.pull_limit_gb * 1e9))
    audited = audit(manifest, config, None, on_event, s3, channels)
    digest = check(config, audited)
    counts = {split: images_by_class(audited.samples.of_split(split)) for split in SPLITS}
    return Snapshot(
        id=snapshot_id(digest),
        uri=config.uri,
        images={
            split: {name: counts[split][name] for name in manifest.classes if counts[split][name]} for split in SPLITS
        },
        size_bytes=sum(_size(manifest, sample) for sample in audited.samples),
        folder=_common_folder(audited.samples),
        skipped=audited.skipped,
        warnings=audited.warnings,
        count=len(audited.samples),
    )


def _size(manifest: Manifest, sample: Sample) -> int:
    info = manifest.objects.get(sample.path)
    return info.size if info else Path(sample.path).stat().st_size


def check(config: DataConfig, audited: AuditResult) -> str:
    """Store the content of the snapshot, compare it with `data.snapshot`, and return its digest.

    Raises:
        DataError: they differ; changed, removed and added keys are listed.
    """
    digest = dataset_digest(audited.samples)
    now, expected = snapshot_id(digest), config.snapshot
    note(now, audited.samples)
    if expected is None or digest.startswith(expected):
        return digest
    raise DataError(
        f"data.snapshot is {expected}, but {config.uri} is now {now}.\n{_difference(expected, audited.samples)}\n"
        "  Restore the data, or set data.snapshot to the current one (null accepts any)."
    )


def _difference(expected: str, samples: Sequence[Sample]) -> str:
    stored = _stored(expected)
    if stored is None:
        return "  Its content is unknown on this node, so the differences cannot be listed."
    then, now = (
        {row.key: (content_of(row.target), row.split, row.digest) for row in rows} for rows in (stored, samples)
    )
    parts = {
        "changed": [key for key in then if key in now and then[key] != now[key]],
        "removed": [key for key in then if key not in now],
        "added": [key for key in now if key not in then],
    }
    return "\n".join(f"{len(keys)} {what}:\n{listed(sorted(keys), 5)}" for what, keys in parts.items() if keys)


def _place(id_: str) -> Path:
    return cache_root() / "snapshots" / f"{id_}.jsonl"


@gc_paused()
def note(id_: str, samples: Iterable[Sample]) -> None:
    """Store the content behind the ID; failing to write the cache is not an error."""
    if _place(id_).exists():
        return
    rows = SampleTable.of(samples).by_key()
    try:
        with atomic_write(_place(id_)) as part, part.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in records(rows.without_paths()))
    except OSError:
        return


def _stored(expected: str) -> list[Sample] | None:
    matches = sorted(_place("").parent.glob(f"{snapshot_id(expected)}*.jsonl"))
    if len(matches) != 1:
        return None
    try:
        content = SAMPLE_FORMAT.content(matches[0], lines=True)
        return list(SAMPLE_FORMAT.lines(content, str(matches[0])))
    except RunError:
        return None  # a damaged cache file is treated as absent


def _common_folder(samples: Sequence[Sample]) -> str:
    first = samples[0]
    return first.path.removesuffix(first.key).rstrip("/") if first.path.endswith(first.key) else ""
