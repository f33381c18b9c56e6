"""A named source of images that a training step takes beside the labelled images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raytl.data import shard
from raytl.data.draw import sample_rng
from raytl.data.encoder import Augment, Encoder
from raytl.data.images import Images, Pixels


@dataclass(frozen=True)
class StepSource:
    """`ratio` images for each labelled one in a step, from `images`, in each of the `views` by name.

    With an `encoder` its images have labels, one view, and are part of the labelled batch. Without, each view is a batch of
    its own.
    """

    name: str
    images: Images
    views: Mapping[str, Augment]
    ratio: float
    encoder: Encoder | None = None

    def rendered(self, seed: int, cycle: int, i: int) -> tuple[list[Pixels], object]:
        """Return the views of image `i` in a cycle, each with random numbers of its own, and the target of the first."""
        prepared = self.images[i]
        height, width = prepared.shape[:2]
        views, target = [], None
        for name, augment in self.views.items():
            draw = augment.draw(height, width, sample_rng(shard.source_seed(seed, name), cycle, i))
            if self.encoder is not None:
                target = self.encoder.view(i, augment, draw, (height, width))
            views.append(augment.apply(prepared, draw))
        return views, target
