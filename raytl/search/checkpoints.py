"""The checkpoints of a sweep's trials: what no trial will need goes, in a bucket only once the journal that says so is there."""

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
    """What the driver has dropped of its trials, by the place of each: a folder's at once, a bucket's when it is `removed`.

    A sweep that goes on from a journal that was stored earlier finds all that the journal speaks of.
    """

    def __init__(self) -> None:
        self._dropped: list[tuple[str, str]] = []

    def drop(self, trial: str, names: Iterable[str] = (BEST, LAST)) -> None:
        """Let go of those checkpoints of the trial that is kept at `trial`."""
        for name in names:
            if is_remote(trial):
                self._dropped.append((trial, name))
            else:
                shutil.rmtree(Path(trial) / name, ignore_errors=True)

    def taken(self) -> list[tuple[str, str]]:
        """What was dropped and is still stored; from now on somebody else's to remove."""
        taken, self._dropped = self._dropped, []
        return taken


def remove(dropped: Iterable[tuple[str, str]], s3: S3Settings = ENVIRONMENT) -> None:
    """Remove these checkpoints from their buckets.

    Raises:
        StoreError: the store failed.
    """
    for trial, name in dropped:
        drop(open_store(trial, s3), name)


def others(root: str, wanted: Collection[tuple[str, str]], s3: S3Settings = ENVIRONMENT) -> list[tuple[str, str]]:
    """The checkpoints below `root`, a prefix in a bucket, but those `wanted`: of trials that were stopped as they wrote, or
    asked by a driver that died before its journal was stored."""
    found = set()
    for info in retried(lambda: list(open_store(root, s3).list())):
        trial, _, inner = info.key.partition("/")
        name = "/".join(inner.split("/")[:2])
        if name in (BEST, LAST):
            found.add((f"{root}/{trial}", name))
    return sorted(found.difference(wanted))
