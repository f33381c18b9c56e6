"""Photos decoded ahead of the network by threads, batch after batch; those that cannot be read are set aside."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from raytl.data.bit_depth import Levels
from raytl.data.decode import BadImage, loaded
from raytl.data.loader import Batch
from raytl.data.transforms import Preprocess, eval_view, prepare
from raytl.errors import Archived, NotFound
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket

_AHEAD = 3
"""Batches that are decoded before the network asks for them; bounds the memory."""


_FETCHERS = 32
"""Threads where photos come from a bucket, as most of them wait for it."""


class _View(NamedTuple):
    place: int
    image: Tensor


class _Read(NamedTuple):
    image: Tensor
    levels: Levels


def batches(
    paths: Sequence[str],
    preprocess: Preprocess,
    batch: int,
    max_pixels: int,
    on_bad: Callable[[str, str], None],
    on_done: Callable[[int], None],
    on_deep: Callable[[str, Levels], None] = lambda path, levels: None,
    s3: S3Settings = ENVIRONMENT,
) -> Generator[Batch, None, None]:
    """The readable photos in batches of `batch`, `ids` their positions in `paths`, targets all 0.

    `on_bad` is given each unreadable path and the reason; `on_done` the number of photos handled so far; `on_deep` the
    path and levels of each photo of more than 8 bits.
    """
    kept: list[_View] = []
    for place, view in enumerate(_ahead(paths, preprocess, batch, max_pixels, s3)):
        if isinstance(view, BadImage):
            on_bad(paths[place], view.reason)
        else:
            kept.append(_View(place, view.image))
            if view.levels.top:
                on_deep(paths[place], view.levels)
        if len(kept) == batch:
            yield _stacked(kept)
            kept = []
        on_done(place + 1)
    if kept:
        yield _stacked(kept)


def _ahead(
    paths: Sequence[str], preprocess: Preprocess, batch: int, max_pixels: int, s3: S3Settings
) -> Iterator[_Read | BadImage]:
    """The photos' views in order, `_AHEAD` batches of them in work."""

    def view(path: str) -> _Read | BadImage:
        try:
            with loaded(path, max_pixels, s3) as picture:
                prepared = prepare(picture.rgb(preprocess.bit_depth), preprocess)
                return _Read(eval_view(prepared, preprocess), picture.levels)
        except BadImage as bad:
            return bad
        except (NotFound, Archived) as gone:
            return BadImage(str(gone).removeprefix(f"{path}: "))

    pool = ThreadPoolExecutor(_FETCHERS if any(map(in_bucket, paths)) else os.cpu_count() or 1)
    waiting: deque[Future[_Read | BadImage]] = deque()
    try:
        for path in paths:
            waiting.append(pool.submit(view, path))
            if len(waiting) > _AHEAD * batch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _stacked(views: Sequence[_View]) -> Batch:
    ids = torch.tensor([view.place for view in views], dtype=torch.int64)
    return Batch(torch.stack([view.image for view in views]), torch.zeros_like(ids), ids)
