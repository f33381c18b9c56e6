"""The data now: the digest of its listing, or the images read, assigned to their splits and compared with the last training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raytl.config.schema import Experiment
from raytl.data import snapshot
from raytl.data.audit import audit
from raytl.data.corrections import stored_content
from raytl.data.feedback import LABELS, is_feedback
from raytl.data.group_split import group_columns
from raytl.data.manifest import Manifest, Sample, dataset_digest, listed, snapshot_id
from raytl.data.perceptual_hash import phashes
from raytl.data.split_memory import MEMORY_FORMAT, Memory
from raytl.errors import DataError, RaytlError, RegistryError
from raytl.events import Message, OnEvent
from raytl.feedback.monitor import Alarm
from raytl.labelling.labelled_manifest import labelled_manifest
from raytl.labelling.reviewed import reviewed_keys
from raytl.labelling.suspect import SuspectLabel
from raytl.registry.reader import folder_of
from raytl.registry.record import Record
from raytl.registry.registry import Registry
from raytl.retraining import features
from raytl.retraining.changes import MIN_IMAGES, Changes, added_samples, changes_between
from raytl.retraining.doubtful import ranked
from raytl.retraining.publish import MEMORY, recorded_samples
from raytl.retraining.splits import SplitSamples, assign_splits
from raytl.store.open import open_store
from raytl.store.pins import evict
from raytl.store.retry import retried
from raytl.store.s3_settings import S3Settings
from raytl.tasks.detect import check_targets
from raytl.tasks.features import FeatureTable
from raytl.tasks.registry import task_named
from raytl.uris import has_scheme, is_table_name


@dataclass(frozen=True)
class Observation:
    """The data of a tick: its samples in their splits, what changed, and the digest of the samples that will be used."""

    splits: SplitSamples
    changes: Changes
    digest: str
    doubtful: tuple[SuspectLabel, ...] = ()
    """The doubtful labels of the training images, the most doubtful first, if `labels.noise` asks for them."""


def listing_digest(experiment: Experiment, alarm: Alarm | None = None) -> str:
    """Return a digest of the listing at `data.uri`, of the labels of `data.feedback`, of the corrections and of the alarm, which
    stays the same while nothing there changes.

    Empty for a table or a single file, whose images may lie anywhere.
    """
    uri = experiment.data.uri
    if is_table_name(uri):
        return ""
    path = Path(uri).expanduser()
    if not has_scheme(uri) and not path.is_dir():
        return ""
    s3, digest = S3Settings.of(experiment.storage), hashlib.sha256()
    infos = retried(lambda: list(open_store(uri, s3).list()))
    if (feedback := experiment.data.feedback) is not None:
        infos += retried(lambda: list(open_store(feedback, s3).list(LABELS)))
    for info in infos:
        digest.update(json.dumps([info.key, info.size, info.etag]).encode() + b"\n")
    if experiment.labels.relabel is not None:
        digest.update(stored_content(experiment.labels.relabel, s3)[0] or b"")
    if alarm is not None:
        digest.update(alarm.at.isoformat().encode())
    return digest.hexdigest()


def observe(
    experiment: Experiment, registry: Registry, trained: Record | None, champion: Record | None, on_event: OnEvent
) -> Observation:
    """Return the data as it is now, compared with that of version `trained`, and its drift as the champion sees it.

    Raises:
        DataError: see `raytl.data`.
        StoreError: a store failed.
    """
    before: tuple[Sample, ...] = ()
    memory = Memory({}, {})
    if trained is not None:
        folder = folder_of(registry, trained)
        before, memory = recorded_samples(folder), _memory(folder / MEMORY)
    config, s3 = experiment.data, S3Settings.of(experiment.storage)
    manifest = _scanned(experiment, on_event)
    preprocess = task_named(experiment.task).preprocess(experiment.model, s3)
    evict(int(config.pull_limit_gb * 1e9))
    audited = audit(manifest, config, preprocess, on_event, s3)
    unhashed = [sample for sample in audited.samples if sample.digest not in memory.hashes]
    hashes = phashes(unhashed, config.max_pixels, audited.depth.depth, on_event, s3, experiment.model.channels)
    usable = [sample for sample in audited.samples if not _is_held_out_feedback(sample, memory)]
    splits = assign_splits(usable, hashes, memory, group_columns(config.columns))
    _refuse_frozen(experiment, splits)
    result = ranked(experiment, splits, audited.depth.depth, on_event)
    splits = result.splits
    digest = dataset_digest(splits.samples)
    snapshot.note(snapshot_id(digest), splits.samples)
    changes = changes_between(
        digest,
        None if trained is None else trained.number,
        before,
        splits.samples,
        () if champion is None else champion.about.classes,
        len(audited.skipped),
        splits.left_out,
    )
    if champion is not None and changes.any:
        new = added_samples(before, splits.samples)
        changes = _with_drift(experiment, registry, champion, new, changes, on_event)
    return Observation(splits, changes, digest, result.doubtful)


def _refuse_frozen(experiment: Experiment, splits: SplitSamples) -> None:
    """Refuse corrections of images that an earlier tick put into test, though the data would put them elsewhere now.

    Raises:
        DataError: there are such corrections.
    """
    reviewed = reviewed_keys(experiment)
    if frozen := [sample.key for sample in splits.of("test") if sample.key in reviewed]:
        raise DataError(
            f"labels.relabel: {experiment.labels.relabel}: {len(frozen)} corrections of images of the frozen test split:\n"
            f"{listed(frozen)}\nRemove these rows"
        )


def _is_held_out_feedback(sample: Sample, memory: Memory) -> bool:
    """Return whether a feedback image was in validation or test before: it never joins them again, nor training."""
    return is_feedback(sample.key) and memory.splits.get(sample.digest, "train") != "train"


def frozen_samples(experiment: Experiment, on_event: OnEvent) -> Sequence[Sample]:
    """Return the samples of an unfinished tick, as `data.split_file` and `data.snapshot` of its experiment fix them.

    Raises:
        DataError: the data no longer has them; lists the keys that differ.
    """
    config, s3 = experiment.data, S3Settings.of(experiment.storage)
    audited = audit(_scanned(experiment, on_event), config, None, on_event, s3, experiment.model.channels)
    snapshot.check(config, audited)
    return audited.samples


def _scanned(experiment: Experiment, on_event: OnEvent) -> Manifest:
    manifest = labelled_manifest(experiment, experiment.labels, on_event)
    check_targets(task_named(experiment.task), manifest.samples)
    return manifest


def _memory(path: Path) -> Memory:
    return Memory.decoded(MEMORY_FORMAT.content(path, lines=True), str(path))


def _with_drift(
    experiment: Experiment,
    registry: Registry,
    champion: Record,
    new: Sequence[Sample],
    changes: Changes,
    on_event: OnEvent,
) -> Changes:
    """Return the changes with the drift of the `new` images, measured in the champion's own features."""
    folder = folder_of(registry, champion)
    if len(new) < MIN_IMAGES or not (folder / features.FILE).exists():
        return changes
    model_folder, device = folder / "checkpoints" / "best", experiment.compute.device
    try:
        s3 = S3Settings.of(experiment.storage)
        now = features.extract(model_folder, features.subset(new), device, experiment.data.max_pixels, on_event, s3)
        path = folder / features.FILE
        before = FeatureTable.decoded(path.read_bytes(), str(path))
        if (width := before.features.shape[1]) != (expected := now.features.shape[1]):
            raise RegistryError(f"{path}: found {width} features of each image; expected {expected}")
    except RaytlError as error:
        on_event(Message(f"drift was not measured: {error}", "warning"))
        return changes
    return changes.with_drift(*features.measure_drift(before, now))
