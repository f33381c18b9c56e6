"""Provide prepared images, decoded in advance and memory-mapped, or decoded on every access."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from raytl.data.bit_depth import RGB
from raytl.data.decode import BadImage, Picture, loaded
from raytl.data.manifest import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.transforms import Preprocess, prepare, prepare_channels
from raytl.data.verified_files import VerifiedFiles
from raytl.errors import DataError
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

Pixels = NDArray[np.uint8]


class Images(Protocol):
    """Prepared images by their position in the split, each `(height, width, channels) uint8` and read-only."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> Pixels: ...


def prepared(picture: Picture, preprocess: Preprocess) -> Pixels:
    """Return the pixels of a picture, loaded with as many channels as the model reads, scaled to 8 bits and resized.

    Raises:
        BadImage: its floats are outside of 0 to 1, and there is no range for them.
    """
    if preprocess.channels == RGB:
        return prepare(picture.rgb(preprocess.bit_depth), preprocess)
    assert picture.channels is not None, "loaded with the channels of the model"
    return prepare_channels(picture.channels.scaled(preprocess.bit_depth), preprocess)


class FileImages:
    """Decode, verify by its SHA-256 and prepare a file on every access. Safe to use from forked processes and threads."""

    def __init__(
        self, samples: Sequence[Sample], preprocess: Preprocess, max_pixels: int, s3: S3Settings = ENVIRONMENT
    ) -> None:
        table = SampleTable.of(samples)
        self._files = VerifiedFiles(table.paths, table.digests, max_pixels, s3)
        self._preprocess = preprocess
        self._max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self._files.paths)

    def __getitem__(self, i: int, /) -> Pixels:
        try:
            with loaded(self._files.read(i), self._max_pixels, channels=self._preprocess.channels) as picture:
                return prepared(picture, self._preprocess)
        except BadImage as exc:
            raise DataError(
                f"{self._files.paths[i]}: {exc}; it was readable when the data was audited, so the file has changed since. "
                "Restore the file, or rerun the command to audit the data again"
            ) from exc


class DecodedSet:
    """Prepared images in memory-mapped files, read without a copy and shared by all processes of the node.

    `places` has a row (file number, offset in bytes, height, width) per image, `(n, 4) int64`; `keep` holds the locks that
    protect the files from eviction, for as long as this set lives.
    """

    def __init__(
        self, files: Sequence[Path], places: NDArray[np.int64], keep: Sequence[Any] = (), channels: int = RGB
    ) -> None:
        self._maps = [_mapped(path) for path in files]
        self._places = places
        self._keep = tuple(keep)
        self._channels = channels

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, i: int, /) -> Pixels:
        file, offset, height, width = self._places[i].tolist()
        end = offset + height * width * self._channels
        pixels: Pixels = self._maps[file][offset:end].reshape(height, width, self._channels)
        return pixels

    @property
    def bytes(self) -> int:
        """Return the total size of the images in bytes."""
        return int((self._places[:, 2] * self._places[:, 3]).sum()) * self._channels


def _mapped(path: Path) -> Pixels:
    """Return the bytes of the file, read-only and shared."""
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)
