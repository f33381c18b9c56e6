"""What a run trains on: scanned, divided, and looked through file by file before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from raytl.config.schema import DataConfig
from raytl.data import snapshot
from raytl.data.audit import Bad, audit
from raytl.data.formats import scan
from raytl.data.manifest import Sample, dataset_digest, snapshot_id
from raytl.data.split import Splits, divide
from raytl.data.transforms import Preprocess
from raytl.events import OnEvent
from raytl.store.claims import evict


@dataclass(frozen=True)
class Dataset:
    """The usable samples by split and in all, what was left out and why, and the fingerprint of it all.

    `samples` holds the test's too, for the run's record alone: training is given `splits.train` and `splits.val`.
    """

    splits: Splits
    samples: tuple[Sample, ...]
    skipped: tuple[Bad, ...]
    warnings: tuple[str, ...]
    digest: str

    @property
    def snapshot(self) -> str:
        """The id that names this data."""
        return snapshot_id(self.digest)


def read_dataset(config: DataConfig, preprocess: Preprocess, on_event: OnEvent) -> Dataset:
    """The dataset at `data.uri`, every image decoded once and its content hashed.

    Raises:
        DataError: see `raytl.data`: layouts, labels, splits, unreadable images, another snapshot than the one asked for.
        StoreError: an object store failed.
    """
    manifest = scan(config.uri, on_event, config.stream)
    evict(int(config.pull_limit_gb * 1e9))
    audited = audit(manifest, config, preprocess, on_event)
    snapshot.check(config, audited)
    splits = divide(audited.samples)
    return Dataset(
        splits=splits,
        samples=audited.samples,
        skipped=audited.skipped,
        warnings=(*audited.warnings, *splits.warnings),
        digest=dataset_digest(audited.samples),
    )
