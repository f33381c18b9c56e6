"""Small-loss selection: images whose loss stays large, as that of wrong labels does, do not count for an epoch.

Networks learn wrong labels late, so their loss is large at first (Han et al. 2018, Co-teaching; Jiang et al. 2018, MentorNet).
These select within a batch by its own losses. Here the loss of each image is averaged over epochs (Huang et al. 2019, O2U-Net),
and selected from at the start of an epoch: with gradient accumulation, or several workers, the losses of a batch are not there
when the first of its gradients is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from raytl.data.column_values import NO_VALUE
from raytl.data.loader import Batch
from raytl.tasks.task import Objective
from raytl.training.objectives.image_averages import SeenRows
from raytl.training.objectives.joint import Outputs
from raytl.training.objectives.objective import LABELLED, Network
from raytl.training.transfer import on_device
from raytl.world import World

MOMENTUM = 0.7
"""Momentum of the average of an image's loss: that of the last three epochs or so."""
MIN_IMAGES = 5
"""So many images of a class always count."""
LEFT_OUT = "train/left_out"
"""The number of images that did not count in an epoch, in its record."""


@dataclass(frozen=True)
class Selection:
    """The fraction `keep` of the images of each class counts, from epoch `ramp` (zero-based) on; before, the fraction that
    does not grows from 0 in equal steps, as in Co-teaching.

    The quantile is that of the given class: losses of rare and of hard classes are larger in general, so one limit for all would
    leave out whole classes.
    """

    keep: float
    ramp: int

    def of(self, losses: NDArray[np.floating[Any]], classes: NDArray[np.int64], epoch: int) -> NDArray[np.bool_]:
        """Return which images count in `epoch`, `(images,)`: all whose loss is nan (not seen yet) or that have no class."""
        ranked = np.flatnonzero((classes != NO_VALUE) & ~np.isnan(losses))
        order = ranked[np.lexsort((losses[ranked], classes[ranked]))]
        _, starts, sizes = np.unique(classes[order], return_index=True, return_counts=True)
        left_out = np.floor((1 - self.keep) * min(epoch / self.ramp, 1) * sizes + 1e-9).astype(np.int64)
        counts = np.maximum(sizes - left_out, np.minimum(sizes, MIN_IMAGES))
        result = np.ones(len(losses), np.bool_)
        result[order] = np.arange(len(order)) - np.repeat(starts, sizes) < np.repeat(counts, sizes)
        return result


class Remembered(nn.Module):
    """The moving averages of each image's loss and of 1, `averages (images, 2)`, from zero, whose ratio is the average of the
    losses that were seen; and what was selected at the start of an `epoch ()`, `selected (images,)`."""

    averages: Tensor
    selected: Tensor
    epoch: Tensor

    def __init__(self, images: int, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("averages", torch.zeros(images, 2, device=device))
        self.register_buffer("selected", torch.ones(images, dtype=torch.bool))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def losses(self) -> NDArray[np.float64]:
        """Return the average of each image's loss, `(images,)`; nan if it was not seen."""
        summed, seen = self.averages.cpu().double().numpy().T
        result = np.full(len(seen), np.nan)
        np.divide(summed, seen, out=result, where=seen > 0)
        return result


class SmallLoss:
    """A memory of the loss of each image, which selects by it; as a term it adds nothing to the loss of the labels (`labels`).

    `classes (images,)` are those of the labels, `NO_VALUE` for images that always count. `fraction(selected)` is the fraction of the
    images in the steps of an epoch that count, on average: the divisor, so that each that does has the same weight in every step,
    and the sum over micro-batches and workers is exact. Images that do not count pass through the network too: BatchNorm sees
    them, and their loss is remembered, so that they may count again.
    """

    views: Sequence[str] = ()
    requested: Sequence[str] = ()

    def __init__(
        self,
        selection: Selection,
        classes: NDArray[np.int64],
        fraction: Callable[[NDArray[np.bool_]], float],
        device: torch.device,
    ) -> None:
        self.state = Remembered(len(classes), device)
        self._selection, self._classes, self._fraction_of = selection, classes, fraction
        self._targets = torch.from_numpy(np.maximum(classes, 0))
        self._seen = SeenRows("the averages of losses")
        self._fraction: float | None = None

    def labels(self, objective: Objective) -> Objective:
        """Return the objective of the labels of the images that count."""
        return OfSelected(objective, self)

    def begin(self, network: Network, batches: Mapping[str, Batch]) -> Mapping[str, Batch]:
        """Select at the first step of an epoch; return the batches."""
        state = self.state
        if int(state.epoch) != network.epoch:
            selected = self._selection.of(state.losses(), self._classes, network.epoch)
            state.selected.copy_(torch.from_numpy(selected))
            state.epoch.fill_(network.epoch)
            self._fraction = None
        return batches

    def selected_rows(self, ids: Tensor) -> Tensor | None:
        """Return the rows of `ids (b,)` that count, on the host; None if all do."""
        selected = self.state.selected[ids]
        return None if selected.all() else selected.nonzero().squeeze(1)

    @property
    def fraction(self) -> float:
        """Return the fraction of the images in the steps of the epoch that count, on average."""
        if self._fraction is None:
            self._fraction = self._fraction_of(self.state.selected.numpy())
        return self._fraction

    def records(self) -> dict[str, float]:
        """Return the number of images that do not count in the epoch."""
        return {LEFT_OUT: int((~self.state.selected).sum())}

    def loss(self, outputs: Outputs, network: Network) -> Tensor:
        """Remember the cross-entropy of each image; return 0."""
        logits = outputs.logits[LABELLED].detach()
        targets, ids = (on_device(each, logits.device) for each in (self._targets[outputs.ids], outputs.ids))
        losses = functional.cross_entropy(logits, targets, reduction="none")
        self._seen.add(ids, torch.stack([losses, torch.ones_like(losses)], dim=1), network.count)
        return logits.new_zeros(())

    def end_step(self, world: World, device: torch.device) -> None:
        """Move the averages of the images of the global batch, the same on all ranks."""
        self._seen.move(self.state.averages, MOMENTUM, world, device)


def left_out_note(records: Mapping[str, float], images: int) -> str:
    """Return the sentence on the last epoch of a run of so many training images; empty without small-loss selection."""
    if LEFT_OUT not in records:
        return ""
    return f"train.loss: small_loss: {records[LEFT_OUT]:,.0f} of {images:,} training images were left out of the last epoch"


@dataclass(frozen=True)
class OfSelected:
    """The objective `inner` of the labels, of the images that `small_loss` selects; it must not mix images."""

    inner: Objective
    small_loss: SmallLoss

    def normalizer(self, targets: Any) -> float | None:
        """Return the normalizer of `inner`, of all images."""
        return self.inner.normalizer(targets)

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Any, ids: Tensor) -> Tensor:
        """Run the network on all images, and return the loss of those that count, divided by their fraction."""
        rows = self.small_loss.selected_rows(ids)
        if rows is None:
            return self.inner(forward, inputs, targets, ids) / self.small_loss.fraction
        places = on_device(rows, inputs.device)

        def chosen(_: Tensor) -> Any:
            return forward(inputs)[places]

        return (
            self.inner(chosen, inputs[places], targets[on_device(rows, targets.device)], ids[rows])
            / self.small_loss.fraction
        )
