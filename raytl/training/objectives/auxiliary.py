"""Auxiliary heads: linear layers on the features that enter the network's head, which learn beside the labels.

The loss of a head is the mean over the images that have a target. Its divisor is the number of images that have one in a
batch on average, so every image has the same weight in every step, and the sum over micro-batches and workers is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from raytl.data.column_values import NO_VALUE
from raytl.tasks.task import Objective
from raytl.training.objectives.joint import Outputs
from raytl.training.objectives.objective import LABELLED, Network
from raytl.training.objectives.rotation import TURNED
from raytl.training.transfer import on_device
from raytl.world import World

AUXILIARY = "auxiliary"
"""The name of the term."""


@dataclass(frozen=True)
class Head:
    """A head of `classes`, which learns `targets(ids, epoch) (b,)` (`NO_VALUE` = none) from the features of `view`.

    `weight` is that of its loss; `fraction` is that of the labelled images in the steps of an epoch that have a target, on average.
    """

    name: str
    classes: int
    targets: Callable[[Tensor, int], NDArray[np.int64]]
    weight: float
    view: str = LABELLED
    fraction: float = 1.0


class Layers(nn.Module):
    """A linear layer for each head, which starts at zero, and with `learned` the logarithm of a variance for the labels and for
    each head, `(heads + 1,)`."""

    def __init__(self, width: int, heads: Sequence[Head], learned: bool, device: torch.device) -> None:
        super().__init__()
        layers = [nn.utils.skip_init(nn.Linear, width, head.classes, device=device) for head in heads]
        for parameter in (each for layer in layers for each in layer.parameters()):
            nn.init.zeros_(parameter)
        self.heads = nn.ModuleList(layers)
        starts = [0.0, *(-math.log(head.weight) for head in heads)] if learned else []
        self.log_variances = nn.Parameter(torch.tensor(starts, device=device)) if learned else None


class Auxiliary:
    """The cross-entropy of each head, times its weight.

    With log-variances s, the weight of a loss is exp(-s), and s / 2 is added (Kendall et al. 2018, section 3.2); the labels have
    one too (`labels`). A weight then is the one that a head begins with.
    """

    requested: Sequence[str] = ()

    def __init__(self, width: int, heads: Sequence[Head], learned: bool, device: torch.device) -> None:
        self.heads, self.state = tuple(heads), Layers(width, heads, learned, device)
        self.views: Sequence[str] = [TURNED] if any(head.view == TURNED for head in heads) else []

    def labels(self, objective: Objective) -> Objective:
        """Return the objective of the labels with its learned weight; as it is if weights are fixed."""
        variances = self.state.log_variances
        return objective if variances is None else WeightedLabels(objective, variances)

    def loss(self, outputs: Outputs, network: Network) -> Tensor:
        """Return the micro-batch's part of the mean."""
        variances, parts = self.state.log_variances, list[Tensor]()
        for place, head in enumerate(self.heads):
            features = outputs.features[head.view]
            targets = torch.from_numpy(head.targets(outputs.ids, network.epoch))
            logits = self.state.heads[place](features)
            summed = functional.cross_entropy(
                logits, on_device(targets, features.device), ignore_index=NO_VALUE, reduction="sum"
            )
            weight = head.weight if variances is None else (-variances[place + 1]).exp()
            parts.append(weight * summed / (network.count * head.fraction))
        if variances is not None:
            parts.append(variances.sum() / 2 * (len(outputs.ids) / network.count))
        return torch.stack(parts).sum()

    def end_step(self, world: World, device: torch.device) -> None:
        """Do nothing: the optimizer updates the heads."""


@dataclass(frozen=True)
class WeightedLabels:
    """The objective `inner` of the labels, times the exponential of minus the first of `log_variances`."""

    inner: Objective
    log_variances: nn.Parameter

    def normalizer(self, targets: Any) -> float | None:
        """Return the normalizer of `inner`."""
        return self.inner.normalizer(targets)

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Any, ids: Tensor) -> Tensor:
        """Return the weighted loss."""
        return (-self.log_variances[0]).exp() * self.inner(forward, inputs, targets, ids)
