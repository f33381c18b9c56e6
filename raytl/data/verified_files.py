"""Read files of samples by position, on this node or prefetched from a bucket, and verify their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from raytl.data.audit_cache import invalidate
from raytl.data.decode import read
from raytl.data.sample_columns import Digests, Paths
from raytl.data.texts import Texts
from raytl.errors import DataError
from raytl.store.prefetch import Prefetcher
from raytl.store.pulled import places_with
from raytl.store.readers import reading
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket


class VerifiedFiles:
    """Files at `paths`, whose content is verified by their SHA-256 `digests` (empty = unknown).

    Each forked process fetches its own objects. While this object lives, no pull replaces or deletes pulled files among them.
    """

    def __init__(
        self, paths: Texts | Paths, digests: Texts | Digests, max_pixels: int, s3: S3Settings = ENVIRONMENT
    ) -> None:
        self.paths, self._digests = paths, digests
        self._max_pixels, self._s3 = max_pixels, s3
        self._locks = reading(places_with(paths.beginnings() if isinstance(paths, Paths) else paths))
        self._prefetcher: tuple[int, Prefetcher[int]] | None = None

    def prefetch(self, ids: Sequence[int]) -> None:
        """Start to fetch these in order, a bounded number of bytes ahead of their use; does nothing for files on this node."""
        if remote := [i for i in ids if in_bucket(self.paths[i])]:
            self._own_prefetcher().expect(remote)

    def read(self, i: int) -> bytes:
        """Return the content of file `i`.

        Raises:
            BadImage: it is missing, unreadable or too large.
            DataError: its content changed since the data was audited.
        """
        return self._own_prefetcher().take(i) if in_bucket(self.paths[i]) else self._verified(i, attempts=1)

    def _own_prefetcher(self) -> Prefetcher[int]:
        if self._prefetcher is None or self._prefetcher[0] != os.getpid():  # threads do not survive a fork
            self._prefetcher = (os.getpid(), Prefetcher(self._verified))
        return self._prefetcher[1]

    def _verified(self, i: int, attempts: int = 2) -> bytes:
        """Return the bytes as audited; if they differ, an object is fetched once more."""
        path, digest = self.paths[i], self._digests[i]
        for _ in range(attempts):
            content = read(path, self._max_pixels, self._s3)
            if not digest or hashlib.sha256(content).hexdigest() == digest:
                return content
        invalidate(path)
        raise DataError(
            f"{path}: its content changed since the data was audited (its SHA-256 differs); restore it, "
            f"or rerun the command to audit the data again{_advice_on_copy(path)}"
        )


def _advice_on_copy(path: str) -> str:
    """Return what to do if this node's copy of an object is wrong and stays so; empty for other files."""
    return "".join(
        f". If that does not help, this node's copy is damaged: delete {place.root}, and it is pulled again"
        for place in places_with([path])
    )
