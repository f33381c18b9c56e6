"""Stream images from their bucket: prefetch them in the order of training, and release them after use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from raytl.data.audit_cache import invalidate
from raytl.data.decode import BadImage, loaded, read
from raytl.data.images import Images, Pixels, Texts
from raytl.data.manifest import Sample
from raytl.data.transforms import Preprocess, prepare
from raytl.errors import DataError
from raytl.store.prefetch import Prefetcher
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

AHEAD = 256
"""Images that each loading process prefetches."""


class StreamedImages:
    """Fetch, decode and prepare an object on every access; call `prefetch` to have it fetched by then.

    Every object is verified against its SHA-256 from the audit. Each forked process fetches its own objects.
    """

    def __init__(
        self, samples: Sequence[Sample], preprocess: Preprocess, max_pixels: int, s3: S3Settings = ENVIRONMENT
    ) -> None:
        self._uris = Texts(sample.path for sample in samples)
        self._digests = Texts(sample.digest for sample in samples)
        self._preprocess = preprocess
        self._max_pixels, self._s3 = max_pixels, s3
        self._prefetcher: tuple[int, Prefetcher[int]] | None = None

    def __len__(self) -> int:
        return len(self._uris)

    def __getitem__(self, i: int, /) -> Pixels:
        try:
            with loaded(self._own_prefetcher().take(i), self._max_pixels, self._s3) as picture:
                return prepare(picture.rgb(self._preprocess.bit_depth), self._preprocess)
        except BadImage as exc:
            raise DataError(f"{self._uris[i]}: {exc}; rerun the command to audit the data again") from exc

    def prefetch(self, ids: Sequence[int]) -> None:
        """Start to fetch these in order, a bounded number of bytes ahead of their use."""
        self._own_prefetcher().expect(ids)

    def _own_prefetcher(self) -> Prefetcher[int]:
        if self._prefetcher is None or self._prefetcher[0] != os.getpid():  # threads do not survive a fork
            self._prefetcher = (os.getpid(), Prefetcher(self._fetch_verified))
        return self._prefetcher[1]

    def _fetch_verified(self, i: int) -> bytes:
        """Return the bytes of the object as audited; if they differ, fetch them once more."""
        uri, digest = self._uris[i], self._digests[i]
        for _ in range(2):
            content = read(uri, self._max_pixels, self._s3)
            if not digest or hashlib.sha256(content).hexdigest() == digest:
                return content
        invalidate(uri)
        raise DataError(
            f"{uri}: its content changed since the data was audited (its SHA-256 differs); "
            "restore it, or rerun the command to audit the data again"
        )


def prefetch(images: Images, ids: Sequence[int]) -> None:
    """Prefetch the next images in order; does nothing for images on this node."""
    if isinstance(images, StreamedImages):
        images.prefetch(ids)
