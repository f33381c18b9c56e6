"""The networks of `report --full`: the images from which each one learns, and those of a group on which it is scored. Pure.

A network for each group never sees the group. A second one leaves out as many images at random, so that the difference is
that of the groups, and not of fewer images (cross-domain validation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Ints
from raytl.metrics.paired import paired_classes
from raytl.models.group_gap import GroupGap, gap_between, learnable_images

MOST_GROUPS = 5
"""Groups of a column that are left out, the largest: each takes two trainings."""
VALIDATED_EVERY = 7
"""One in so many of the images that are learned is validated on, to choose the epoch."""
MIN_IMAGES = 10
"""Images that a network has to learn from."""
_DRAWS = 100
"""Random divisions that are tried."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network that learns from the images at `train`, is selected on those at `val`, and answers those at `held_out`."""

    title: str
    train: Ints
    val: Ints
    held_out: Ints


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The networks of a column: one `without` each group, and one for each random fold of the same size.

    `images (n,)` are the places of the images that are scored, once by either kind, and `groups` the groups of these.
    `unmeasured` groups are not left out. `one_group` counts the images whose class is in one group only, which are not used.
    """

    column: str
    images: Ints
    groups: tuple[str, ...]
    without: tuple[Network, ...]
    random: tuple[Network, ...]
    unmeasured: tuple[str, ...]
    one_group: int

    @property
    def networks(self) -> tuple[Network, ...]:
        """Return all networks; those of a group and of its random fold follow each other."""
        return tuple(network for pair in zip(self.without, self.random, strict=True) for network in pair)


@dataclass(frozen=True)
class FineTunedGap:
    """The gap between networks that never saw a group and those of random folds; `unmeasured` groups were not left out."""

    gap: GroupGap
    unmeasured: tuple[str, ...]


def left_out(column: str, values: Sequence[str], targets: Ints, seed: int = 0) -> LeftOut | None:
    """Return the networks for the largest groups `values (n,)` of a column, of images of the classes `targets (n,)`; those without
    a value are of no group, and not used.

    None if fewer than two groups can be left out: without one, or its random fold, two classes and `MIN_IMAGES` images have to
    remain.
    """
    names, codes = np.unique(np.asarray(values), return_inverse=True)
    named = np.flatnonzero(np.asarray(values) != "")
    usable = named[learnable_images(targets[named], codes[named])]
    sizes = np.bincount(codes[usable], minlength=len(names))
    ranked = [int(group) for group in np.argsort(-sizes, kind="stable") if sizes[group]]
    chosen = [group for group in ranked if _can_leave(targets[usable[codes[usable] != group]])][:MOST_GROUPS]
    if len(chosen) < 2:
        return None
    images = usable[np.isin(codes[usable], chosen)]
    shuffled = _shuffled(codes[images], images, usable, targets, seed)
    if shuffled is None:
        return None

    def network(title: str, held_out: Ints) -> Network:
        learned = np.setdiff1d(usable, held_out)
        is_val = _validated(targets[learned])
        return Network(title, learned[~is_val], learned[is_val], held_out)

    return LeftOut(
        column=column,
        images=images,
        groups=tuple(str(name) for name in names[codes[images]]),
        without=tuple(network(f"without {column} '{names[each]}'", images[codes[images] == each]) for each in chosen),
        random=tuple(
            network(f"without random fold {number} for {column}", images[shuffled == each])
            for number, each in enumerate(chosen, start=1)
        ),
        unmeasured=tuple(str(names[group]) for group in ranked if group not in chosen),
        one_group=len(named) - len(usable),
    )


def _shuffled(codes: Ints, images: Ints, usable: Ints, targets: Ints, seed: int) -> Ints | None:
    """Return the groups `codes (n,)` of `images (n,)` in a random order, so that the others of the `usable` images can be learned
    from without each of these random folds; None if some draws found none."""
    draw = np.random.default_rng(seed)
    for _ in range(_DRAWS):
        shuffled = draw.permutation(codes)
        folds = (images[shuffled == group] for group in np.unique(codes))
        if all(_can_leave(targets[np.setdiff1d(usable, fold)]) for fold in folds):
            return shuffled
    return None


def _can_leave(targets: Ints) -> bool:
    """Return whether images of the classes `targets` can be learned from."""
    counts = np.bincount(targets)
    return len(targets) >= MIN_IMAGES and int(np.count_nonzero(counts)) > 1 and int(counts.max()) > 1


def _validated(targets: Ints) -> NDArray[np.bool_]:
    """Return which of n images choose the epoch, `(n,)`: evenly spaced in the classes, and of no class all."""
    order = np.argsort(targets, kind="stable")
    chosen = np.zeros(len(targets), np.bool_)
    chosen[order[VALIDATED_EVERY // 2 :: VALIDATED_EVERY]] = True
    counts = np.bincount(targets)
    chosen &= (np.bincount(targets, chosen) < counts)[targets]
    if not chosen.any():
        chosen[np.flatnonzero(targets == counts.argmax())[0]] = True
    return chosen


def fine_tuned_gap(division: LeftOut, targets: Ints, answers: Sequence[Ints], seed: int = 0) -> FineTunedGap:
    """Return the gap that the networks of `division` show; `answers` are the classes that each of its `networks` answers for
    its held-out images. `targets (n,)` are of all images."""
    truth = targets[division.images]
    held_out, random = (
        _gathered(division.images, kind, answers[first::2])
        for first, kind in enumerate((division.without, division.random))
    )
    p = paired_classes(truth, held_out, random, "accuracy").p_better
    correct = [np.asarray(each == truth, np.float64) for each in (held_out, random)]
    gap = gap_between(division.column, division.groups, correct[0], correct[1], p, division.one_group, seed=seed)
    return FineTunedGap(gap, division.unmeasured)


def _gathered(images: Ints, networks: Sequence[Network], answers: Sequence[Ints]) -> Ints:
    """Return the answers in the order of `images`."""
    gathered = np.empty(len(images), np.int64)
    for network, each in zip(networks, answers, strict=True):
        gathered[np.searchsorted(images, network.held_out)] = each
    return gathered
