"""A pretext task: copies of the labelled images are turned by quarter turns, which a head learns to tell (Gidaris et al. 2018).

The paper turns each image in all four ways in each step. Here each has one turn an epoch, a quarter of that cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.data.loader import Batch
from raytl.training.objectives.objective import LABELLED, Network
from raytl.training.transfer import on_device

TURNED = "turned"
"""The name of the view of the copies."""
TURNS = 4
_STREAM = 0x7475726E  # "turn": separates these draws from those of augmentation


@dataclass(frozen=True)
class Turns:
    """The quarter turns, counter-clockwise, of the copies of `count` images in each epoch: functions of seed, epoch and id
    alone, so the same on any number of workers."""

    count: int
    seed: int

    def of(self, ids: Tensor, epoch: int) -> NDArray[np.int64]:
        """Return the turns of the images `ids (b,)`, from 0 to 3."""
        turns: NDArray[np.int64] = _of_epoch(self.count, self.seed, epoch)[ids.numpy()]
        return turns

    def turned(self, batch: Batch, epoch: int) -> Batch:
        """Return a copy of the batch whose images are turned; they are square."""
        return Batch(turned(batch.images, self.of(batch.ids, epoch)), batch.ids)

    def beside(self, network: Network, batches: Mapping[str, Batch]) -> Mapping[str, Batch]:
        """Return the batches with turned copies of the labelled images as the view `TURNED`."""
        return {**batches, TURNED: self.turned(batches[LABELLED], network.epoch)}


@lru_cache(maxsize=2)
def _of_epoch(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    draw = np.random.Generator(np.random.Philox(np.random.SeedSequence([_STREAM, seed, epoch])))
    return draw.integers(0, TURNS, count)


def turned(images: Tensor, turns: NDArray[np.int64]) -> Tensor:
    """Return square `images (b, channels, side, side)`, each turned by its quarter turns."""
    result = images.clone()
    for turn in range(1, TURNS):
        places = on_device(torch.from_numpy(np.flatnonzero(turns == turn)), images.device)
        result[places] = images[places].rot90(turn, (2, 3))
    return result
