"""The batches of a warm-up: two views of each image, and the labels of the global batch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.data import shard
from raytl.data.loader import Batch
from raytl.data.pipe import Origin, Pick, Pipe, Request
from raytl.data.step_source import StepSource
from raytl.training.objectives.contrastive import SECOND
from raytl.world import World


class PairLoader:
    """The rank's batches of a warm-up, epoch by epoch; `batch` is global, and `source` has two views.

    The global batches follow from the images and the seed, as in training. `labels (n,)` are those of the images.
    """

    def __init__(
        self,
        source: StepSource,
        labels: NDArray[np.int64],
        size: tuple[int, int, int],
        *,
        batch: int,
        seed: int,
        world: World,
        workers: int = 0,
        pinned: bool = False,
    ) -> None:
        assert len(source.images) == len(labels) > 0, "one label for each image, and at least one"
        assert len(source.views) == 2, "an image and its pair"
        self._labels, self._seed, self._world = labels, shard.source_seed(seed, source.name), world
        self.steps = shard.steps_per_epoch(len(labels), batch)
        origin = Origin(source.images, partial(source.rendered, seed), 2, None)
        self._pipe = Pipe([origin], size, 2 * -(-batch // world.size), workers, pinned)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Batch, int]]:
        """Yield the batches of `epoch` from `start_step` on, each with the number of images in its global batch."""
        order = shard.epoch_order(len(self._labels), self._seed, epoch)
        batches = [shard.global_batch(order, step, self.steps) for step in range(start_step, self.steps)]
        parts = [shard.rank_part(whole, self._world.rank, self._world.size) for whole in batches]
        requests = [
            Request((Pick(0, epoch, part),), slot, len(whole))
            for slot, (whole, part) in enumerate(zip(batches, parts, strict=True))
        ]
        for whole, (request, views, _) in zip(batches, self._pipe.run(requests), strict=True):
            ids = torch.from_numpy(request.picks[0].ids.copy())
            first, second = views.split(len(ids))
            labels = torch.from_numpy(self._labels[whole])
            yield Batch(first, ids, labels, {SECOND: Batch(second, ids)}), len(whole)

    def close(self) -> None:
        """Stop the loader processes."""
        self._pipe.close()
