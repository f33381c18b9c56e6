"""Photos as arrays, read from class folders, their tints, thumbnails, and features of a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.decode import decode
from raytl.data.image_properties import of_batch
from raytl.data.loader import Batch
from raytl.data.transforms import Preprocess, eval_pixels, prepare
from raytl.models.backbone import Backbone, build
from raytl.models.probe import head_inputs

PX = 112
_BATCH = 64
_MAX_PIXELS = 10**8
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos `views (n, px, px, 3) uint8` of a set, and their classes `targets (n,)`."""

    name: str
    views: NDArray[np.uint8]
    targets: Ints

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return int(self.targets.max()) + 1

    def of(self, places: Ints) -> Photos:
        """Return the photos at `places`."""
        return Photos(self.name, self.views[places], self.targets[places])

    def shuffled(self, seed: int, fraction: float = 1.0) -> Photos:
        """Return a sample without replacement, in random order."""
        order = np.random.default_rng(seed).permutation(len(self))
        return self.of(order[: round(fraction * len(self))])


def read(folder: Path, name: str, preprocess: Preprocess) -> Photos:
    """Return the photos below the class folders of `folder`, as a network with this preprocessing sees them."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files = [(path, number) for number, each in enumerate(names) for path in sorted((folder / each).iterdir())]
    views = [eval_pixels(prepare(decode(path, _MAX_PIXELS), preprocess), preprocess) for path, _ in files]
    return Photos(name, np.stack(views), np.array([number for _, number in files]))


def tinted(views: NDArray[np.uint8], sites: Ints, strength: float, seed: int) -> NDArray[np.uint8]:
    """Return the photos with the channels of each site multiplied by factors near 1, as by its lamps or its camera."""
    factors = np.exp(strength * np.random.default_rng(seed).normal(size=(int(sites.max()) + 1, 3)))
    return np.concatenate([_scaled(view, factors[site])[None] for view, site in zip(views, sites, strict=True)])


def _scaled(view: NDArray[np.uint8], factors: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray((view * factors).clip(0, 255), np.uint8)


def backbone(weights: Path, model: str = "mobilenetv2_100", px: int = PX) -> Backbone:
    """Return a pretrained network for images of `px` pixels."""
    config = ModelConfig(name=model, weights=str(weights), preprocess=PreprocessOverride(image_px=px))
    return build(config, 2)


def features(network: Backbone, views: NDArray[np.uint8]) -> torch.Tensor:
    """Return the inputs of the head of the network, `(n, d) float32`."""
    return head_inputs(network, _batches(views), torch.device("cpu"), torch.float32)


def thumbnails(views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the thumbnails that `raytl evaluate` stores of what the network sees, `(n, 32, 32, 3)`."""
    return np.concatenate([of_batch(batch.images)[0] for batch in _batches(views)])


def _batches(views: NDArray[np.uint8]) -> Iterator[Batch]:
    for start in range(0, len(views), _BATCH):
        part = torch.from_numpy(np.ascontiguousarray(views[start : start + _BATCH])).permute(0, 3, 1, 2)
        yield Batch(part, torch.arange(start, start + len(part)))
