"""Load batches of uint8 pixels and their targets in parallel to the training loop, from one source of images or several.

The training process computes the content of each batch (`shard`) and sends it to loader processes as a request; each
view is a pure function of (seed, epoch, sample). So any number of loader processes and any world size give the same
tensors. Loader processes are forked and share decoded images as mapped memory. They return pixels through one block of
shared memory that is allocated before the fork and needs no space in /dev/shm, and targets, pickled, through a queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from raytl.data import shard
from raytl.data.bit_depth import RGB
from raytl.data.encoder import Augment, Encoder, Prefetching, augmented
from raytl.data.images import Images, Pixels
from raytl.data.pipe import Origin, Pick, Pipe, Request
from raytl.data.step_source import StepSource
from raytl.data.style import FourierStyle
from raytl.data.transforms import Preprocess, eval_pixels
from raytl.world import World


@dataclass(frozen=True, slots=True)
class Batch:
    """Images `(b, channels, height, width) uint8` in channels-last memory, ids (positions in the split), and collated targets.

    Batches for evaluation have no targets. `beside` are the step's images of other sources, by the name of their view.
    """

    images: torch.Tensor
    ids: torch.Tensor
    targets: Any = None
    beside: Mapping[str, Batch] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def split(self, pieces: int) -> list[Batch]:
        """Return the batch in near-equal pieces, one after the other."""
        if pieces <= 1:
            return [self]
        sizes = [len(part) for part in np.array_split(np.arange(len(self)), pieces)]
        parts = [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]
        others = {name: batch.split(pieces) for name, batch in self.beside.items()}
        return [
            Batch(
                self.images[part],
                self.ids[part],
                None if self.targets is None else self.targets[part],
                {name: split[place] for name, split in others.items()},
            )
            for place, part in enumerate(parts)
        ]


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

    Steps follow from the images; each of `beside` gives its own to every step. Those with labels are part of `batch`, with
    ids that follow those of the images. A `style` changes views of the images. A rank may get an empty batch when a global batch is smaller than the world. With
    `pinned`, images are in memory that a GPU copies from by itself.
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
        beside: Sequence[StepSource] = (),
        style: FourierStyle | None = None,
    ) -> None:
        assert len(images) == len(encoder) > 0, "one target for each image, and at least one"
        self._encoder, self._seed, self._world, self._weights = encoder, seed, world, weights
        self.steps = shard.steps_per_epoch(len(images), batch)
        labelled_first = sorted(beside, key=lambda source: source.encoder is None)  # their views follow each other
        self._beside = [_Beside(source, len(images), batch, seed) for source in labelled_first]
        self._first_ids = list(accumulate([0, len(images), *(len(each.source.images) for each in self._beside)]))[:-1]
        own = Origin(images, partial(_own_view, images, encoder, augment, seed, style), 1, _prefetching(encoder))
        origins = [own, *(each.origin(seed) for each in self._beside)]
        rows = [batch, *(each.count for each in self._beside)]
        capacity = sum(-(-count // world.size) * each.views for count, each in zip(rows, origins, strict=True))
        self._pipe = Pipe(origins, (*augment.size, channels), capacity, workers, pinned)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Batch, int]]:
        """Yield the batches of `epoch` from `start_step` on, each with the number of samples in its global batch."""
        order = shard.epoch_order(len(self._encoder), self._seed, epoch, self._weights)
        requests: list[Request] = []
        for step in range(start_step, self.steps):
            whole = shard.global_batch(order, step, self.steps)
            part = shard.rank_part(whole, self._world.rank, self._world.size)
            requests.append(self._request(epoch, step, len(requests), Pick(0, epoch, part), len(whole)))
        for request, images, targets in self._pipe.run(requests):
            yield self._batch(request, images, targets), request.global_count

    def _request(self, epoch: int, step: int, slot: int, own: Pick, count: int) -> Request:
        """Return the request for a step: its own samples, and those of the other sources."""
        picks, before, labelled = [own], count, count
        for origin, each in enumerate(self._beside, start=1):
            ids, cycles = each.order.batch(epoch * self.steps + step, each.count)
            mine = shard.rank_part(np.arange(len(ids)), self._world.rank, self._world.size, before)
            picks.append(Pick(origin, cycles[mine], ids[mine]))
            before += each.count
            labelled += each.count if each.source.encoder is not None else 0
        return Request(tuple(picks), slot, labelled)

    def _batch(self, request: Request, images: torch.Tensor, targets: list[Any]) -> Batch:
        """Return the batch: the labelled samples of all sources, and beside them each view of the others."""
        if not self._beside:
            return Batch(images, _ids(request.picks[0]), self._encoder.collate(targets))
        labelled = [
            (pick, first)
            for pick, each, first in zip(request.picks, [None, *self._beside], self._first_ids, strict=True)
            if each is None or each.source.encoder is not None
        ]
        ids = torch.cat([_ids(pick) + first for pick, first in labelled])
        rows, beside = len(ids), dict[str, Batch]()
        own = images[:rows]
        for pick, each in zip(request.picks[1:], self._beside, strict=True):
            for name in each.source.views if each.source.encoder is None else ():
                beside[name] = Batch(images[rows : rows + len(pick.ids)], _ids(pick))
                rows += len(pick.ids)
        return Batch(own, ids, self._encoder.collate(targets[: len(ids)]), beside)

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
        origin = Origin(images, partial(_evaluated, images, preprocess), 1, None)
        self._pipe = Pipe([origin], (*preprocess.view_size, preprocess.channels), batch, workers)

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Batch]:
        requests = [Request((Pick(0, 0, ids),), slot, len(ids)) for slot, ids in enumerate(self._parts)]
        for request, images, _ in self._pipe.run(requests):
            yield Batch(images, _ids(request.picks[0]))

    def close(self) -> None:
        """Stop the loader processes."""
        self._pipe.close()


def _evaluated(images: Images, preprocess: Preprocess, _epoch: int, i: int) -> tuple[tuple[Pixels], None]:
    return (eval_pixels(images[i], preprocess),), None


def _own_view(
    images: Images, encoder: Encoder, augment: Augment, seed: int, style: FourierStyle | None, epoch: int, i: int
) -> tuple[tuple[Pixels], Any]:
    view, target = augmented(images, encoder, augment, seed, epoch, i)
    return (view if style is None else style.applied(view, seed, epoch, i),), target


def _ids(pick: Pick) -> torch.Tensor:
    return torch.from_numpy(pick.ids.copy())


class _Beside:
    """A source, the number of its images in each step, and their order."""

    def __init__(self, source: StepSource, labelled: int, batch: int, seed: int) -> None:
        self.source, self.count = source, shard.count_beside(labelled, batch, source.ratio)
        self.order = shard.EndlessOrder(len(source.images), shard.source_seed(seed, source.name))

    def origin(self, seed: int) -> Origin:
        """Return what the loader processes load."""
        source = self.source
        return Origin(source.images, partial(source.rendered, seed), len(source.views), _prefetching(source.encoder))


def _prefetching(encoder: object) -> Prefetching | None:
    return encoder if isinstance(encoder, Prefetching) else None
