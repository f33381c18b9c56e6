"""Decode photos in threads ahead of the network, batch by batch; set aside those that cannot be read."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import torch
from PIL import Image, ImageOps
from torch import Tensor

from raytl.data.bit_depth import RGB, Levels
from raytl.data.channel_values import ChannelValues
from raytl.data.decode import BadImage, Picture, loaded
from raytl.data.images import prepared
from raytl.data.transforms import Preprocess, eval_view
from raytl.errors import Archived, NotFound
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket

Photo = str | Image.Image | ChannelValues
"""A path, an s3:// URI, or an image in memory; as channels, for models of other than RGB."""

_PREFETCH_BATCHES = 3
"""Batches that are decoded before the network asks for them; bounds the memory."""
_FETCHERS = 32
"""Threads if photos come from a bucket: most of them wait for it."""
_LOADING = Lock()
"""Pillow decodes an opened image in place, and the same image may be listed twice."""


class _View(NamedTuple):
    position: int
    image: Tensor
    size: tuple[int, int]


class _Read(NamedTuple):
    image: Tensor
    levels: Levels
    size: tuple[int, int]


@dataclass(frozen=True)
class PhotoBatch:
    """Views of photos `(b, channels, side, side) uint8`, their positions as `ids (b,)`, and (width, height) of the upright originals."""

    images: Tensor
    ids: Tensor
    sizes: tuple[tuple[int, int], ...]


def batches(
    photos: Sequence[Photo],
    preprocess: Preprocess,
    batch: int,
    max_pixels: int,
    on_bad: Callable[[int, str], None],
    on_done: Callable[[int], None],
    on_deep: Callable[[int, Levels], None] = lambda position, levels: None,
    s3: S3Settings = ENVIRONMENT,
) -> Generator[PhotoBatch, None, None]:
    """Yield the readable photos of each `batch` positions of `photos`, with their positions as `ids`.

    An unreadable photo leaves its batch smaller and the others as they are, so that photos in parts of whole batches have the
    same neighbors, and the same bits, as all photos at once.

    `on_bad` is called with the position of each unreadable photo and the reason, `on_done` with the number of photos
    handled so far, `on_deep` with the position and levels of each photo of more than 8 bits.
    """
    views: list[_View] = []
    for position, read in enumerate(_prefetched(photos, preprocess, batch, max_pixels, s3)):
        if isinstance(read, BadImage):
            on_bad(position, read.reason)
        else:
            views.append(_View(position, read.image, read.size))
            if read.levels.top or read.levels.has_floats:
                on_deep(position, read.levels)
        if views and (position + 1) % batch == 0:
            yield _stacked(views)
            views = []
        on_done(position + 1)
    if views:
        yield _stacked(views)


def _prefetched(
    photos: Sequence[Photo], preprocess: Preprocess, batch: int, max_pixels: int, s3: S3Settings
) -> Iterator[_Read | BadImage]:
    """Yield the photos' views in order, with up to `_AHEAD` batches of them in progress."""

    def view(photo: Photo) -> _Read | BadImage:
        try:
            if isinstance(photo, ChannelValues):
                return _viewed(Picture(None, channels=photo), preprocess)
            if isinstance(photo, Image.Image):
                return _viewed(_in_memory(photo, max_pixels), preprocess)
            with loaded(photo, max_pixels, s3, preprocess.channels) as picture:
                return _viewed(picture, preprocess)
        except BadImage as bad:
            return bad
        except (NotFound, Archived) as gone:
            return BadImage(str(gone).removeprefix(f"{photo}: "))

    is_remote = any(isinstance(photo, str) and in_bucket(photo) for photo in photos)
    pool = ThreadPoolExecutor(_FETCHERS if is_remote else os.cpu_count() or 1)
    waiting: deque[Future[_Read | BadImage]] = deque()
    try:
        for photo in photos:
            waiting.append(pool.submit(view, photo))
            if len(waiting) > _PREFETCH_BATCHES * batch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _viewed(picture: Picture, preprocess: Preprocess) -> _Read:
    size, levels = picture.size, picture.levels
    if picture.channels is None and preprocess.channels != RGB:  # an image in memory
        picture = Picture(None, channels=picture.as_channels(preprocess.channels))
    return _Read(eval_view(prepared(picture, preprocess), preprocess), levels, size)


def too_large(width: int, height: int, max_pixels: int) -> str:
    """Return the fault of an image in memory that has too many pixels; empty if it has not."""
    is_large = width * height > max_pixels
    return f"{width} x {height} pixels; expected at most data.max_pixels {max_pixels}" if is_large else ""


def _in_memory(image: Image.Image, max_pixels: int) -> Picture:
    """Return an image in memory as a file with its content would be read; the image itself is not changed."""
    if fault := too_large(image.width, image.height, max_pixels):
        raise BadImage(fault)
    if 0 in image.size:
        raise BadImage(f"{image.width} x {image.height} pixels; expected at least 1 x 1")
    if image.mode in ("I", "F", "La") or image.mode.startswith("I;"):
        raise BadImage(f"an image of mode {image.mode} in memory; expected 8 bits a channel, or the path of the file")
    try:
        with _LOADING:
            image.load()
    except Exception as error:  # Pillow's parsers raise nearly anything on broken files
        raise BadImage(f"broken image ({type(error).__name__}: {error})") from error
    try:
        return Picture(ImageOps.exif_transpose(image))
    except Exception:  # a broken EXIF block says nothing about the pixels
        return Picture(image)


def _stacked(views: Sequence[_View]) -> PhotoBatch:
    ids = torch.tensor([view.position for view in views], dtype=torch.int64)
    return PhotoBatch(torch.stack([view.image for view in views]), ids, tuple(view.size for view in views))
