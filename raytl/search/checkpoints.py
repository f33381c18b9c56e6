"""The checkpoints of a sweep's trials that are no longer needed; in a bucket they are deleted after the journal is uploaded."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from raytl.run.mirror import BEST, LAST, drop
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import is_remote


class Checkpoints:
    """The checkpoints that the driver dropped: deleted at once from a folder, and by `remove` from a bucket.

    A sweep that resumes from an earlier journal still finds every checkpoint that the journal mentions.
    """

    def __init__(self) -> None:
        self._dropped: list[tuple[str, str]] = []

    def drop(self, trial: str, names: Iterable[str] = (BEST, LAST)) -> None:
        """Drop these checkpoints of the trial at the location `trial`."""
        for name in names:
            if is_remote(trial):
                self._dropped.append((trial, name))
            else:
                shutil.rmtree(Path(trial) / name, ignore_errors=True)

    def taken(self) -> list[tuple[str, str]]:
        """Return, and forget, what was dropped and is still in a bucket; the caller removes it."""
        taken, self._dropped = self._dropped, []
        return taken


def remove(dropped: Iterable[tuple[str, str]], s3: S3Settings = ENVIRONMENT) -> None:
    """Delete these checkpoints from their buckets.

    Raises:
        StoreError: the store failed.
    """
    for trial, name in dropped:
        drop(open_store(trial, s3), name)


def others(root: str, wanted: Collection[tuple[str, str]], s3: S3Settings = ENVIRONMENT) -> list[tuple[str, str]]:
    """Return the checkpoints below `root`, a prefix in a bucket, that are not `wanted`: those of trials that were stopped
    while they uploaded, or suggested by a driver that died before it uploaded its journal."""
    keys = [info.key for info in retried(lambda: list(open_store(root, s3).list()))]
    trials = [(key.partition(f"/{name}/"), name) for key in keys for name in (BEST, LAST)]
    stored = {(f"{root}/{trial}", name) for (trial, is_checkpoint, _), name in trials if is_checkpoint}
    return sorted(stored.difference(wanted))
