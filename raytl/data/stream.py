"""Images that stay in their bucket: fetched in the order in which training will want them, and let go of once used."""

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
"""Images that each loading process has on their way."""


class StreamedImages:
    """Fetches, decodes and prepares an object each time it is asked for; what is `expect`ed is on its way by then.

    Every object is held against the sha256 that it had when the data was checked. Each forked process fetches for itself.
    """

    def __init__(
        self, samples: Sequence[Sample], preprocess: Preprocess, max_pixels: int, s3: S3Settings = ENVIRONMENT
    ) -> None:
        self._uris = Texts(sample.path for sample in samples)
        self._digests = Texts(sample.digest for sample in samples)
        self._preprocess = preprocess
        self._max_pixels, self._s3 = max_pixels, s3
        self._ahead: tuple[int, Prefetcher[int]] | None = None

    def __len__(self) -> int:
        return len(self._uris)

    def __getitem__(self, i: int, /) -> Pixels:
        try:
            with loaded(self._fetcher().take(i), self._max_pixels, self._s3) as picture:
                return prepare(picture.rgb(self._preprocess.bit_depth), self._preprocess)
        except BadImage as exc:
            raise DataError(f"{self._uris[i]}: {exc}; run the same command again to check the data anew") from exc

    def prefetch(self, ids: Sequence[int]) -> None:
        """Begins to fetch these, in this order, a bounded number of bytes ahead of their use."""
        self._fetcher().expect(ids)

    def _fetcher(self) -> Prefetcher[int]:
        if self._ahead is None or self._ahead[0] != os.getpid():  # threads do not survive a fork
            self._ahead = (os.getpid(), Prefetcher(self._fetched))
        return self._ahead[1]

    def _fetched(self, i: int) -> bytes:
        """The object's bytes as they were when the data was checked; other bytes are fetched once more."""
        uri, digest = self._uris[i], self._digests[i]
        for _ in range(2):
            content = read(uri, self._max_pixels, self._s3)
            if not digest or hashlib.sha256(content).hexdigest() == digest:
                return content
        invalidate(uri)
        raise DataError(
            f"{uri}: its content changed since the data was checked (another sha256); "
            "put it back, or run the same command again to check the data anew"
        )


def prefetch(images: Images, ids: Sequence[int]) -> None:
    """Says which of `images` will be asked for next, in order; those that are on this node need not know."""
    if isinstance(images, StreamedImages):
        images.prefetch(ids)
