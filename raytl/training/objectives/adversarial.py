"""Domain-adversarial training (DANN, Ganin et al. 2016): features from which a discriminator cannot tell the domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raytl.training.objectives.domain import TARGET_VIEW
from raytl.training.objectives.joint import Outputs
from raytl.training.objectives.objective import LABELLED, Network
from raytl.world import World

_MOST_HIDDEN = 256


def reversal(progress: float) -> float:
    """Return the factor of the reversed gradient: from 0 to 1 as training proceeds (Ganin et al. 2016, section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a negative factor."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


class Adversary:
    """The cross-entropy of a discriminator between the labelled and the `count` target images of a step, each domain with
    weight 1/2; its gradient is reversed where it enters the network."""

    views: Sequence[str] = (TARGET_VIEW,)
    requested: Sequence[str] = ()

    def __init__(self, width: int, count: int, weight: float, seed: int, device: torch.device) -> None:
        self._count, self._weight = count, weight
        self.state = discriminator(width, seed).to(device)

    def loss(self, outputs: Outputs, network: Network) -> Tensor:
        """Return the micro-batch's part of the mean."""
        factor = reversal(network.progress)
        terms = []
        for name, domain, count in ((LABELLED, 1.0, network.count), (TARGET_VIEW, 0.0, self._count)):
            features: Tensor = _Reversed.apply(outputs.features[name], factor * self._weight)  # type: ignore[no-untyped-call]
            logits = self.state(features).squeeze(1)
            said = functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, domain), reduction="sum")
            terms.append(said / (2 * count))
        return terms[0] + terms[1]

    def end_step(self, world: World, device: torch.device) -> None:
        """Do nothing: the optimizer updates the discriminator."""


def discriminator(width: int, seed: int) -> nn.Module:
    """Return a network of two hidden layers from features `(b, width)` to the logit of the labelled domain, `(b, 1)`.

    Its weights follow from `seed`; torch's global generators are left alone.
    """
    hidden = min(width, _MOST_HIDDEN)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed seeds the generators of GPUs too
        return nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )
