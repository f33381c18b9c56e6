"""What the data is now: at the price of a listing, or read, settled on its sides and compared with the last training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raytl.config.schema import DataConfig, Experiment
from raytl.data import snapshot
from raytl.data.audit import audit
from raytl.data.formats import scan
from raytl.data.manifest import Sample, dataset_digest, snapshot_id
from raytl.data.perceptual_hash import phashes
from raytl.errors import RaytlError, RegistryError
from raytl.events import Message, OnEvent
from raytl.models.backbone import preprocess_of
from raytl.registry.reader import folder_of
from raytl.registry.record import Record
from raytl.registry.registry import Registry
from raytl.retrain import features
from raytl.retrain.changes import LEAST, Changes, came, changes
from raytl.retrain.publish import MEMORY, recorded_samples
from raytl.retrain.split_file import MEMORY_FORMAT, Memory, Sided, settled
from raytl.store.open import open_store
from raytl.store.pins import evict
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import has_scheme, is_table_name


@dataclass(frozen=True)
class Seen:
    """The data of a tick: its samples on their sides, and what changed. `digest` is of the samples that will be used."""

    apply_splits: Sided
    changes: Changes
    digest: str


def glance(config: DataConfig, s3: S3Settings = ENVIRONMENT) -> str:
    """A digest of the listing at `data.uri`: the same as long as nothing there changed; empty where a listing cannot tell."""
    uri = config.uri
    if is_table_name(uri):
        return ""  # what it names may lie anywhere
    path = Path(uri).expanduser()
    if not has_scheme(uri) and not path.is_dir():
        return ""
    found = hashlib.sha256()
    for info in retried(lambda: list(open_store(uri, s3).list())):
        found.update(json.dumps([info.key, info.size, info.etag]).encode() + b"\n")
    return found.hexdigest()


def look(
    experiment: Experiment, registry: Registry, trained: Record | None, champion: Record | None, on_event: OnEvent
) -> Seen:
    """The data as it is now beside that of version `trained`, and as the champion sees it.

    Raises:
        DataError: see `raytl.data`.
        StoreError: a store failed.
    """
    before: tuple[Sample, ...] = ()
    memory = Memory({}, {})
    if trained is not None:
        folder = folder_of(registry, trained)
        before, memory = recorded_samples(folder), _remembered(folder / MEMORY)
    config, s3 = experiment.data, S3Settings.of(experiment.storage)
    manifest = scan(config.uri, on_event, config.stream, config.zip_encoding, s3)
    evict(int(config.pull_limit_gb * 1e9))
    audited = audit(manifest, config, preprocess_of(experiment.model, s3), on_event, s3)
    fresh = [sample for sample in audited.samples if sample.digest not in memory.hashes]
    apply_splits = settled(
        audited.samples, phashes(fresh, config.max_pixels, audited.depth.depth, on_event, s3), memory
    )
    digest = dataset_digest(apply_splits.samples)
    snapshot.note(snapshot_id(digest), apply_splits.samples)
    found = changes(
        digest,
        None if trained is None else trained.number,
        before,
        apply_splits.samples,
        () if champion is None else champion.about.classes,
        len(audited.skipped),
        apply_splits.left_out,
    )
    if champion is not None and found.any:
        found = _measured(experiment, registry, champion, came(before, apply_splits.samples), found, on_event)
    return Seen(apply_splits, found, digest)


def _remembered(path: Path) -> Memory:
    return Memory.decoded(MEMORY_FORMAT.content(path, lines=True), str(path))


def frozen(experiment: Experiment, on_event: OnEvent) -> tuple[Sample, ...]:
    """The samples of a tick that was begun, as `data.split_file` and `data.snapshot` of its experiment have them.

    Raises:
        DataError: they are no longer what they were; with the keys that differ.
    """
    config, s3 = experiment.data, S3Settings.of(experiment.storage)
    audited = audit(scan(config.uri, on_event, config.stream, config.zip_encoding, s3), config, None, on_event, s3)
    snapshot.check(config, audited)
    return audited.samples


def _measured(
    experiment: Experiment,
    registry: Registry,
    champion: Record,
    new: Sequence[Sample],
    found: Changes,
    on_event: OnEvent,
) -> Changes:
    """With the drift of the images that nobody was trained on yet, by the champion's own features."""
    folder = folder_of(registry, champion)
    if len(new) < LEAST or not (folder / features.FILE).exists():
        return found
    bundle, device = folder / "checkpoints" / "best", experiment.compute.device
    try:
        now = features.seen(
            bundle, features.some(new), device, experiment.data.max_pixels, on_event, S3Settings.of(experiment.storage)
        )
        path = folder / features.FILE
        before = features.Seen.decoded(path.read_bytes(), str(path))
        if (width := before.features.shape[1]) != (expected := now.features.shape[1]):
            raise RegistryError(f"{path}: found {width} features of each image; expected {expected}")
    except RaytlError as error:
        on_event(Message(f"drift was not measured: {error}", "warning"))
        return found
    return found.measured(*features.compared(before, now))
