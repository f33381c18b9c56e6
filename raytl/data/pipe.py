"""Load views of images in forked processes, which return them through shared memory."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from raytl.data.encoder import Prefetching
from raytl.data.images import Images, Pixels
from raytl.data.stream import PREFETCH_IMAGES, StreamedImages, prefetch
from raytl.errors import RaytlError, TrainingError

PREFETCH = 4
"""Batches that each loader process prefetches."""

Render = Callable[[int, int], tuple[Sequence[Pixels], Any]]
"""Returns the views and the target of an epoch's sample."""


@dataclass(frozen=True, slots=True)
class Pick:
    """Samples of one origin, in one epoch or each in its own."""

    origin: int
    epoch: int | NDArray[np.int64]
    ids: NDArray[np.int64]

    def rows(self) -> Iterator[tuple[int, int]]:
        """Yield epoch and sample."""
        epochs = repeat(self.epoch) if isinstance(self.epoch, int) else self.epoch.tolist()
        return zip(epochs, self.ids.tolist(), strict=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One batch to load: these samples, into this slot of the shared memory."""

    picks: tuple[Pick, ...]
    slot: int
    global_count: int
    upcoming: tuple[Pick, ...] = ()
    """The next samples for the process that loads this batch, which it prefetches if they are remote."""


class _Queue:
    """The sampler of the DataLoader: the requests for the loader processes, replaced every epoch."""

    def __init__(self) -> None:
        self.now: Sequence[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.now)

    def __len__(self) -> int:
        return len(self.now)


@dataclass(frozen=True)
class Origin:
    """The images of a source, the views and targets made of each, and what can prefetch the targets' files."""

    images: Images
    render: Render
    views: int
    targets: Prefetching | None

    @property
    def is_remote(self) -> bool:
        """Return True if something is to be prefetched."""
        return isinstance(self.images, StreamedImages) or self.targets is not None

    def prefetch(self, ids: Sequence[int]) -> None:
        """Start to fetch what these samples need from a bucket."""
        prefetch(self.images, ids)
        if self.targets is not None:
            self.targets.prefetch(ids)


class _Views(Dataset[Any]):
    """Computes the views of a request in the loader process, directly into the shared memory, and returns their targets.

    The views of a source follow each other: all first views of its samples, then all second ones.
    """

    def __init__(self, origins: Sequence[Origin], slots: Pixels) -> None:
        self._origins, self._slots = origins, slots

    def __getitem__(self, request: Any) -> list[Any] | RaytlError:
        slot, targets, first = self._slots[request.slot % len(self._slots)], [], 0
        self._prefetch(request)
        try:
            for pick in request.picks:
                origin, count = self._origins[pick.origin], len(pick.ids)
                for row, (epoch, i) in enumerate(pick.rows(), start=first):
                    views, target = origin.render(epoch, i)
                    for place, view in enumerate(views):
                        slot[row + place * count] = view
                    targets.append(target)
                first += origin.views * count
        except RaytlError as error:  # returned, as the DataLoader would bury its text in a traceback
            return error
        return targets

    def _prefetch(self, request: Request) -> None:
        for place, origin in enumerate(self._origins):
            if origin.is_remote:
                ids = [pick.ids for pick in (*request.picks, *request.upcoming) if pick.origin == place]
                origin.prefetch(np.concatenate(ids).tolist())


class Pipe:
    """Turns requests into `(b, channels, height, width) uint8` and targets in order, in `workers` processes, or in this one if 0.

    `size` is the (height, width, channels) of the views.

    `batch` is the most views of a request.
    """

    def __init__(
        self, origins: Sequence[Origin], size: tuple[int, int, int], batch: int, workers: int, pinned: bool = False
    ) -> None:
        self._origins, self._size, self._batch, self._workers, self._pinned = origins, size, batch, workers, pinned
        self._requests = _Queue()
        self._loader: DataLoader[Any] | None = None
        self._slots: Pixels | None = None

    def run(self, requests: Sequence[Request]) -> Iterator[tuple[Request, torch.Tensor, list[Any]]]:
        """Yield each request with its images, which the caller owns, and its targets."""
        requests = self._with_prefetch(requests)
        done = self._in_process(requests) if self._workers == 0 or not requests else self._in_workers(requests)
        for request, (pixels, targets) in zip(requests, done, strict=True):
            yield request, pixels.permute(0, 3, 1, 2), targets

    def _with_prefetch(self, requests: Sequence[Request]) -> Sequence[Request]:
        """Return the requests, each with the samples that its process loads within the window; processes take turns."""
        if not any(origin.is_remote for origin in self._origins):
            return requests
        turn, batches = max(1, self._workers), -(-PREFETCH_IMAGES // self._batch)
        return [
            replace(
                request,
                upcoming=tuple(
                    pick for later in requests[place + turn : place + 1 + turn * batches : turn] for pick in later.picks
                ),
            )
            for place, request in enumerate(requests)
        ]

    def _in_process(self, requests: Sequence[Request]) -> Iterator[tuple[torch.Tensor, list[Any]]]:
        for request in requests:
            pixels = self._block(self._rows(request))
            yield pixels, _targets(_Views(self._origins, pixels.numpy()[None])[request])

    def _rows(self, request: Request) -> int:
        """Return the number of views of a request."""
        return sum(len(pick.ids) * self._origins[pick.origin].views for pick in request.picks)

    def _block(self, images: int) -> torch.Tensor:
        """Return uninitialized memory for the pixels of `images` views, `(images, height, width, channels)`."""
        shape = (images, *self._size)
        if self._pinned:
            return torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        return torch.from_numpy(np.empty(shape, dtype=np.uint8))

    def _in_workers(self, requests: Sequence[Request]) -> Iterator[tuple[torch.Tensor, list[Any]]]:
        results = iter(self._started(requests))
        assert self._slots is not None
        for request in requests:
            targets = _targets(_next(results))
            # copied: the loader processes overwrite the slot as soon as the next batch is requested
            pixels = self._block(rows := self._rows(request))
            np.copyto(pixels.numpy(), self._slots[request.slot % len(self._slots), :rows])
            yield pixels, targets

    def _started(self, requests: Sequence[Request]) -> DataLoader[Any]:
        """Return the DataLoader; its processes are forked at the first use and kept for all epochs."""
        self._requests.now = requests
        if self._loader is None:
            # PREFETCH batches in flight per process, and one being read
            shape = (self._workers * PREFETCH + 1, self._batch, *self._size)
            self._slots = np.frombuffer(mmap.mmap(-1, max(1, int(np.prod(shape)))), dtype=np.uint8).reshape(shape)
            self._loader = DataLoader(
                _Views(self._origins, self._slots),
                sampler=self._requests,
                batch_size=None,
                num_workers=self._workers,
                prefetch_factor=PREFETCH,
                persistent_workers=True,
                collate_fn=_unchanged,
                multiprocessing_context="fork",
                generator=torch.Generator(),  # otherwise the base seed is drawn from the global generator
            )
        return self._loader

    @property
    def ready(self) -> int | None:
        """Return the length of the processes' queue; None without processes, or if the system cannot count it."""
        queue = getattr(getattr(self._loader, "_iterator", None), "_data_queue", None)
        try:
            return None if queue is None else int(queue.qsize())
        except NotImplementedError:
            return None

    def close(self) -> None:
        """Stop the processes; the next run starts new ones."""
        if self._loader is not None and self._loader._iterator is not None:
            self._loader._iterator._shutdown_workers()  # type: ignore[attr-defined]
        self._loader = self._slots = None


def _next(results: Iterator[list[Any] | RaytlError]) -> list[Any] | RaytlError:
    try:
        return next(results)
    except RuntimeError as exc:
        if "DataLoader worker" not in str(exc):
            raise
        raise TrainingError(
            f"a loader process died: {exc}. If it ran out of memory, lower data.loader_workers (0 = none)"
        ) from exc


def _targets(result: list[Any] | RaytlError) -> list[Any]:
    if isinstance(result, RaytlError):
        raise result
    return result


def _unchanged(batch: Any) -> Any:
    return batch
