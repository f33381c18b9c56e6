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
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket


class VerifiedFiles:
    """Files at `paths` with their SHA-256 `digests` (empty = unknown), which are verified if they come from a bucket.

    Each forked process fetches its own objects.
    """

    def __init__(
        self, paths: Texts | Paths, digests: Texts | Digests, max_pixels: int, s3: S3Settings = ENVIRONMENT
    ) -> None:
        self.paths, self._digests = paths, digests
        self._max_pixels, self._s3 = max_pixels, s3
        self._prefetcher: tuple[int, Prefetcher[int]] | None = None

    def prefetch(self, ids: Sequence[int]) -> None:
        """Start to fetch these in order, a bounded number of bytes ahead of their use; does nothing for files on this node."""
        if remote := [i for i in ids if in_bucket(self.paths[i])]:
            self._own_prefetcher().expect(remote)

    def read(self, i: int) -> bytes:
        """Return the content of file `i`.

        Raises:
            BadImage: it is missing, unreadable or too large.
            DataError: its content changed in the bucket.
        """
        path = self.paths[i]
        return self._own_prefetcher().take(i) if in_bucket(path) else read(path, self._max_pixels, self._s3)

    def _own_prefetcher(self) -> Prefetcher[int]:
        if self._prefetcher is None or self._prefetcher[0] != os.getpid():  # threads do not survive a fork
            self._prefetcher = (os.getpid(), Prefetcher(self._fetch_verified))
        return self._prefetcher[1]

    def _fetch_verified(self, i: int) -> bytes:
        """Return the bytes of the object as audited; if they differ, fetch them once more."""
        uri, digest = self.paths[i], self._digests[i]
        for _ in range(2):
            content = read(uri, self._max_pixels, self._s3)
            if not digest or hashlib.sha256(content).hexdigest() == digest:
                return content
        invalidate(uri)
        raise DataError(
            f"{uri}: its content changed since the data was audited (its SHA-256 differs); "
            "restore it, or rerun the command to audit the data again"
        )
