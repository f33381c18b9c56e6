"""Probabilities of images that were not learned, for sets of any size: in random parts, each classified by its other images."""

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
    order = np.random.default_rng(seed).permutation(len(targets))
    parts = np.array_split(order, -(-len(targets) // AT_ONCE))
    for done, places in enumerate(parts):
        on_event(Work("leaving images out", done, len(parts), "parts"))
        present, numbers = np.unique(targets[places], return_inverse=True)
        own = features[torch.from_numpy(places)].float()
        table[np.ix_(places, present)] = left_out_probabilities(own, numbers, groups_at(places))
    on_event(Work("leaving images out", len(parts), len(parts), "parts"))
    return table
