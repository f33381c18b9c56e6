"""Read the dataset of a run: scan, split and validate every file before training starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raytl.config.annotations import AnnotationsConfig
from raytl.config.labels import LabelsConfig
from raytl.config.schema import DataConfig
from raytl.data import snapshot
from raytl.data.audit import BadFile, audit, unaudited
from raytl.data.bit_depth import RGB, SetDepth
from raytl.data.channel_statistics import channel_depth
from raytl.data.formats import AS_FOUND, is_packed, names_objects, scan
from raytl.data.given_labels import AS_GIVEN, with_labels
from raytl.data.manifest import Note, Sample, snapshot_id
from raytl.data.sample_table import SampleTable
from raytl.data.split import ClassesOf, Splits, apply_splits, class_names, divide
from raytl.data.transforms import Preprocess
from raytl.events import OnEvent
from raytl.store.contract import ObjectInfo
from raytl.store.pins import evict
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.store.sync import not_pulled, refuse_archived
from raytl.tasks.detect import check_targets
from raytl.tasks.task import Task


@dataclass(frozen=True)
class Dataset:
    """The usable samples by split and in all, the skipped files with reasons, and the digest of the data.

    `samples` includes the test split, only for the record of the run: training gets `splits.train` and `splits.val`.
    """

    splits: Splits
    samples: SampleTable
    skipped: tuple[BadFile, ...]
    warnings: tuple[str, ...]
    digest: str
    depth: SetDepth = field(default_factory=SetDepth)
    to_fetch: Mapping[str, ObjectInfo] = field(default_factory=dict)
    """The objects to download to this node, by URI. If there are any, no image was validated and the digest is empty."""
    notes: tuple[Note, ...] = ()
    """The annotated objects that were dropped or clipped."""
    corrections: Mapping[str, int] = field(default_factory=dict)
    """The number of images that `labels.relabel` relabelled and left out; empty without it."""

    @property
    def snapshot(self) -> str:
        """Return the ID of this data."""
        return snapshot_id(self.digest)


def read_dataset(
    config: DataConfig,
    preprocess: Preprocess,
    on_event: OnEvent,
    s3: S3Settings = ENVIRONMENT,
    annotations: AnnotationsConfig = AS_FOUND,
    task: Task | None = None,
    labels: LabelsConfig = AS_GIVEN,
) -> Dataset:
    """Return the dataset at `data.uri`, with every image decoded once and its content hashed.

    Raises:
        DataError: see `raytl.data`: layouts, labels, splits, unreadable images, a snapshot that does not match.
        StoreError: an object store failed.
    """
    manifest = scan(
        config.uri,
        on_event,
        config.stream,
        config.zip_encoding,
        s3,
        annotations,
        _types(task),
        config.columns,
        labels.columns,
    )
    manifest = with_labels(manifest, config, labels, on_event, s3)
    _check_targets(task, manifest.samples)
    refuse_archived(manifest.objects, s3)
    evict(int(config.pull_limit_gb * 1e9))
    audited = audit(manifest, config, preprocess, on_event, s3)
    digest = snapshot.check(config, audited)
    splits = divide(audited.samples, _classes_of(task))
    depth = audited.depth
    if preprocess.channels != RGB:
        depth = channel_depth(splits.train, preprocess.channels, config, on_event, s3)
    return Dataset(
        splits=splits,
        samples=audited.samples,
        skipped=audited.skipped,
        warnings=(*audited.warnings, *splits.warnings, *(depth.warnings if depth is not audited.depth else ())),
        digest=digest,
        depth=depth,
        notes=audited.notes,
        corrections=manifest.corrections,
    )


def listed_dataset(
    config: DataConfig,
    preprocess: Preprocess,
    on_event: OnEvent,
    s3: S3Settings = ENVIRONMENT,
    annotations: AnnotationsConfig = AS_FOUND,
    task: Task | None = None,
    labels: LabelsConfig = AS_GIVEN,
) -> Dataset:
    """Return the dataset at `data.uri` from its listing alone if images are not on this node yet; else as `read_dataset`.

    Archives and shards are downloaded, because only their contents show the classes.

    Raises:
        DataError: as `read_dataset`, except for problems that only decoding can show.
        StoreError: an object store failed.
    """
    if not names_objects(config.uri) or is_packed(config.uri, s3):
        return read_dataset(config, preprocess, on_event, s3, annotations, task, labels)
    types, columns = _types(task), config.columns
    manifest = scan(
        config.uri,
        on_event,
        stream=True,
        s3=s3,
        annotations=annotations,
        prefer=types,
        columns=columns,
        votes=labels.columns,
    )
    manifest = with_labels(manifest, config, labels, on_event, s3)
    _check_targets(task, manifest.samples)
    to_fetch = (
        unaudited(manifest, config.max_pixels, preprocess.channels)
        if config.stream
        else not_pulled(manifest.objects, s3)
    )
    if not to_fetch:
        return read_dataset(config, preprocess, on_event, s3, annotations, task, labels)
    refuse_archived(to_fetch, s3)
    samples = apply_splits(manifest.samples, config, s3)
    splits = divide(samples, _classes_of(task))
    return Dataset(splits, samples, (), (*manifest.warnings, *splits.warnings), "", to_fetch=to_fetch)


def _types(task: Task | None) -> tuple[type, ...]:
    return () if task is None else task.target_types


def _classes_of(task: Task | None) -> ClassesOf:
    return class_names if task is None else task.classes


def _check_targets(task: Task | None, samples: Sequence[Sample]) -> None:
    if task is not None:
        check_targets(task, samples)
