"""Stream images from their bucket: prefetch them in the order of training, and release them after use."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.data.decode import BadImage, loaded
from raytl.data.images import Images, Pixels, prepared
from raytl.data.manifest import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.transforms import Preprocess
from raytl.data.verified_files import VerifiedFiles
from raytl.errors import DataError
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

PREFETCH_IMAGES = 256
"""Images that each loading process prefetches."""


class StreamedImages:
    """Fetch, decode and prepare an object on every access; call `prefetch` to have it fetched by then.

    Every object is verified against its SHA-256 from the audit. Each forked process fetches its own objects.
    """

    def __init__(
        self, samples: Sequence[Sample], preprocess: Preprocess, max_pixels: int, s3: S3Settings = ENVIRONMENT
    ) -> None:
        table = SampleTable.of(samples)
        self._files = VerifiedFiles(table.paths, table.digests, max_pixels, s3)
        self._preprocess = preprocess
        self._max_pixels, self._s3 = max_pixels, s3

    def __len__(self) -> int:
        return len(self._files.paths)

    def __getitem__(self, i: int, /) -> Pixels:
        try:
            with loaded(self._files.read(i), self._max_pixels, self._s3, self._preprocess.channels) as picture:
                return prepared(picture, self._preprocess)
        except BadImage as exc:
            raise DataError(f"{self._files.paths[i]}: {exc}; rerun the command to audit the data again") from exc

    def prefetch(self, ids: Sequence[int]) -> None:
        """Start to fetch these in order, a bounded number of bytes ahead of their use."""
        self._files.prefetch(ids)


def prefetch(images: Images, ids: Sequence[int]) -> None:
    """Prefetch the next images in order; does nothing for images on this node."""
    if isinstance(images, StreamedImages):
        images.prefetch(ids)
