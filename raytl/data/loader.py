"""Load batches of uint8 pixels and their targets in parallel to the training loop.

The training process computes the content of each batch (`shard`) and sends it to loader processes as a request; each
view is a pure function of (seed, epoch, sample). So any number of loader processes and any world size give the same
tensors. Loader processes are forked and share decoded images as mapped memory. They return pixels through one block of
shared memory that is allocated before the fork and needs no space in /dev/shm, and targets, pickled, through a queue.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import DataLoader, Dataset

from raytl.data import shard
from raytl.data.bit_depth import RGB
from raytl.data.encoder import Augment, Encoder, Prefetching, augmented
from raytl.data.images import Images, Pixels
from raytl.data.stream import PREFETCH_IMAGES, StreamedImages, prefetch
from raytl.data.transforms import Preprocess, eval_pixels
from raytl.errors import RaytlError, TrainingError
from raytl.world import World

PREFETCH = 4
"""Batches that each loader process prefetches."""

_View = Callable[[int, int], tuple[Pixels, Any]]
"""Returns the view and the target of an epoch's sample."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Images `(b, channels, height, width) uint8` in channels-last memory, ids (positions in the split), and collated targets.

    Batches for evaluation have no targets.
    """

    images: torch.Tensor
    ids: torch.Tensor
    targets: Any = None

    def __len__(self) -> int:
        return len(self.ids)

    def split(self, pieces: int) -> list[Batch]:
        """Return the batch in near-equal pieces, one after the other."""
        if pieces <= 1:
            return [self]
        sizes = [len(part) for part in np.array_split(np.arange(len(self)), pieces)]
        parts = [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]
        return [Batch(self.images[part], self.ids[part], self.targets[part]) for part in parts]


@dataclass(frozen=True, slots=True)
class _Request:
    """One batch to load: these samples of this epoch, into this slot of the shared memory."""

    epoch: int
    ids: NDArray[np.int64]
    slot: int
    global_count: int
    upcoming: tuple[NDArray[np.int64], ...] = ()
    """The next samples for the process that loads this batch, which it prefetches if they are remote."""


def auto_workers(device: str, cores: float) -> int:
    """Return the loader processes of a training worker with `cores` CPU cores, for `data.loader_workers: auto`.

    On a GPU, all cores but one, up to 8. On a CPU, training needs the cores itself: one process, and one more
    for each 8 cores, up to 4; a loader process costs about 0.6 ms of one core per decoded image.
    """
    if device == "cuda":
        return int(min(8, max(1, cores - 1)))
    return int(min(4, 1 + cores // 8))


class TrainLoader:
    """The rank's training batches, epoch by epoch; `batch` is global. `encoder` has the targets of the images, by position.

    A rank may get an empty batch when a global batch is smaller than the world. With `pinned`, images are in memory that a
    GPU copies from by itself.
    """

    def __init__(
        self,
        images: Images,
        encoder: Encoder,
        augment: Augment,
        *,
        batch: int,
        seed: int,
        world: World,
        weights: ArrayLike | None = None,
        workers: int = 0,
        pinned: bool = False,
        channels: int = RGB,
    ) -> None:
        assert len(images) == len(encoder) > 0, "one target for each image, and at least one"
        self._encoder, self._seed, self._world, self._weights = encoder, seed, world, weights
        self.steps = shard.steps_per_epoch(len(images), batch)
        view = partial(augmented, images, encoder, augment, seed)
        source = _Source(images, view, _prefetching(encoder))
        self._pipe = _Pipe(source, (*augment.size, channels), -(-batch // world.size), workers, pinned)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Batch, int]]:
        """Yield the batches of `epoch` from `start_step` on, each with the number of samples in its global batch."""
        order = shard.epoch_order(len(self._encoder), self._seed, epoch, self._weights)
        requests: list[_Request] = []
        for step in range(start_step, self.steps):
            whole = shard.global_batch(order, step, self.steps)
            part = shard.rank_part(whole, self._world.rank, self._world.size)
            requests.append(_Request(epoch, part, len(requests), len(whole)))
        for request, images, targets in self._pipe.run(requests):
            yield Batch(images, _ids(request), self._encoder.collate(targets)), request.global_count

    @property
    def ready(self) -> int | None:
        """Return the number of loaded batches in the queue; None if the training process loads them itself."""
        return self._pipe.ready

    def close(self) -> None:
        """Stop the loader processes."""
        self._pipe.close()


class EvalLoader:
    """The rank's evaluation batches: whole fixed batches of `batch`, assigned round-robin, each sample exactly once."""

    def __init__(
        self,
        images: Images,
        preprocess: Preprocess,
        *,
        batch: int,
        world: World,
        workers: int = 0,
    ) -> None:
        self._parts = shard.eval_batches(len(images), batch, world.rank, world.size)
        source = _Source(images, partial(_evaluated, images, preprocess), None)
        self._pipe = _Pipe(source, (*preprocess.view_size, preprocess.channels), batch, workers)

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Batch]:
        requests = [_Request(0, ids, slot, len(ids)) for slot, ids in enumerate(self._parts)]
        for request, images, _ in self._pipe.run(requests):
            yield Batch(images, _ids(request))

    def close(self) -> None:
        """Stop the loader processes."""
        self._pipe.close()


def _evaluated(images: Images, preprocess: Preprocess, _epoch: int, i: int) -> tuple[Pixels, None]:
    return eval_pixels(images[i], preprocess), None


def _ids(request: _Request) -> torch.Tensor:
    return torch.from_numpy(request.ids.copy())


class _Requests:
    """The sampler of the DataLoader: the requests for the loader processes, replaced every epoch."""

    def __init__(self) -> None:
        self.now: Sequence[_Request] = ()

    def __iter__(self) -> Iterator[_Request]:
        return iter(self.now)

    def __len__(self) -> int:
        return len(self.now)


@dataclass(frozen=True)
class _Source:
    """The images of a split, the views and targets made of them, and what can prefetch the targets' files."""

    images: Images
    view: _View
    targets: Prefetching | None

    def prefetch(self, ids: Sequence[int]) -> None:
        """Start to fetch what these samples need from a bucket."""
        prefetch(self.images, ids)
        if self.targets is not None:
            self.targets.prefetch(ids)


def _prefetching(encoder: object) -> Prefetching | None:
    return encoder if isinstance(encoder, Prefetching) else None


class _Views(Dataset[Any]):
    """Computes the views of a request in the loader process, directly into the shared memory, and returns their targets."""

    def __init__(self, source: _Source, slots: Pixels) -> None:
        self._source, self._slots = source, slots

    def __getitem__(self, request: Any) -> list[Any] | RaytlError:
        slot, targets = self._slots[request.slot % len(self._slots)], []
        self._source.prefetch(np.concatenate([request.ids, *request.upcoming]).tolist())
        try:
            for row, i in enumerate(request.ids.tolist()):
                slot[row], target = self._source.view(request.epoch, i)
                targets.append(target)
        except RaytlError as error:  # returned, as the DataLoader would bury its text in a traceback
            return error
        return targets


class _Pipe:
    """Turns requests into `(b, channels, height, width) uint8` and targets in order, in `workers` processes, or in this one if 0.

    `size` is the (height, width, channels) of the views.
    """

    def __init__(
        self, source: _Source, size: tuple[int, int, int], batch: int, workers: int, pinned: bool = False
    ) -> None:
        self._source, self._size, self._batch, self._workers, self._pinned = source, size, batch, workers, pinned
        self._requests = _Requests()
        self._loader: DataLoader[Any] | None = None
        self._slots: Pixels | None = None

    def run(self, requests: Sequence[_Request]) -> Iterator[tuple[_Request, torch.Tensor, list[Any]]]:
        """Yield each request with its images, which the caller owns, and its targets."""
        requests = self._with_prefetch(requests)
        done = self._in_process(requests) if self._workers == 0 or not requests else self._in_workers(requests)
        for request, (pixels, targets) in zip(requests, done, strict=True):
            yield request, pixels.permute(0, 3, 1, 2), targets

    def _with_prefetch(self, requests: Sequence[_Request]) -> Sequence[_Request]:
        """Return the requests, each with the samples that its process loads within the window; processes take turns."""
        if not isinstance(self._source.images, StreamedImages) and self._source.targets is None:
            return requests
        turn, batches = max(1, self._workers), -(-PREFETCH_IMAGES // self._batch)
        return [
            replace(
                request,
                upcoming=tuple(later.ids for later in requests[place + turn : place + 1 + turn * batches : turn]),
            )
            for place, request in enumerate(requests)
        ]

    def _in_process(self, requests: Sequence[_Request]) -> Iterator[tuple[torch.Tensor, list[Any]]]:
        for request in requests:
            pixels = self._block(len(request.ids))
            yield pixels, _targets(_Views(self._source, pixels.numpy()[None])[request])

    def _block(self, images: int) -> torch.Tensor:
        """Return uninitialized memory for the pixels of `images` views, `(images, height, width, channels)`."""
        shape = (images, *self._size)
        if self._pinned:
            return torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        return torch.from_numpy(np.empty(shape, dtype=np.uint8))

    def _in_workers(self, requests: Sequence[_Request]) -> Iterator[tuple[torch.Tensor, list[Any]]]:
        results = iter(self._started(requests))
        assert self._slots is not None
        for request in requests:
            targets = _targets(_next(results))
            # copied: the loader processes overwrite the slot as soon as the next batch is requested
            pixels = self._block(len(request.ids))
            np.copyto(pixels.numpy(), self._slots[request.slot % len(self._slots), : len(request.ids)])
            yield pixels, targets

    def _started(self, requests: Sequence[_Request]) -> DataLoader[Any]:
        """Return the DataLoader; its processes are forked at the first use and kept for all epochs."""
        self._requests.now = requests
        if self._loader is None:
            # PREFETCH batches in flight per process, and one being read
            shape = (self._workers * PREFETCH + 1, self._batch, *self._size)
            self._slots = np.frombuffer(mmap.mmap(-1, max(1, int(np.prod(shape)))), dtype=np.uint8).reshape(shape)
            self._loader = DataLoader(
                _Views(self._source, self._slots),
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
