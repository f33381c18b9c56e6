"""Probabilities of images that were not learned, for sets of any size: in parts drawn at random within each class, each
classified by its other images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.events import OnEvent, Work, ignore
from raytl.metrics.confusion import Floats
from raytl.models.frozen import left_out_probabilities

AT_ONCE = 2000
"""Images of one classifier, whose time grows with the third power of their number."""
LEAST = 5
"""Images of a class in each part that has it, or all of a smaller class: one that is alone in its part would be found wrong."""
Ints = NDArray[np.int64]


def left_out_in_parts(
    features: Tensor,
    targets: Ints,
    classes: int,
    groups_at: Callable[[Ints], Ints],
    seed: int,
    on_event: OnEvent = ignore,
) -> Floats:
    """Return `left_out_probabilities` of all images, `(n, classes)`; `groups_at(places)` are the groups of some of them.

    A class that a part lacks has the probability 0 there.
    """
    table = np.zeros((len(targets), classes))
    parts = _parts(targets, -(-len(targets) // AT_ONCE), np.random.default_rng(seed))
    for done, places in enumerate(parts):
        on_event(Work("leaving images out", done, len(parts), "parts"))
        present, numbers = np.unique(targets[places], return_inverse=True)
        own = features[torch.from_numpy(places)].float()
        table[np.ix_(places, present)] = left_out_probabilities(own, numbers, groups_at(places))
    on_event(Work("leaving images out", len(parts), len(parts), "parts"))
    return table


def _parts(targets: Ints, count: int, rng: np.random.Generator) -> list[Ints]:
    """Return the places of the images of each of `count` parts of about the same size, in random order."""
    order = rng.permutation(len(targets))
    sizes = np.unique(targets, return_counts=True)[1]
    by_class = np.split(order[np.argsort(targets[order], kind="stable")], np.cumsum(sizes)[:-1])
    part_of, loads = np.empty(len(targets), np.int64), np.zeros(count, np.int64)
    for number in np.argsort(-sizes, kind="stable"):
        parts = min(count, max(1, int(sizes[number]) // LEAST))
        emptiest = np.argsort(loads, kind="stable")[:parts]
        for part, images in zip(emptiest, np.array_split(by_class[number], parts), strict=True):
            part_of[images] = part
            loads[part] += len(images)
    return [order[part_of[order] == part] for part in range(count)]
