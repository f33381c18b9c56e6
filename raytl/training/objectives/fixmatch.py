"""FixMatch: a network learns, on strongly augmented unlabelled images, what it says of them weakly augmented, if it is sure.

Source: Sohn et al. 2020. The threshold of a class is lower where the network is less sure of the class so far (Wang et al.
2023, FreeMatch, the local part of eq. 8), so that hard classes get pseudo-labels too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from raytl.training.collectives import Sum
from raytl.training.objectives.joint import Outputs
from raytl.training.objectives.objective import Network
from raytl.world import World

WEAK, STRONG = "weak", "strong"
"""The names of the two views."""
MOMENTUM = 0.9
"""Of the mean probabilities, over steps. Runs on few labels have hundreds of steps, where the paper's has a million."""


class ClassMeans(nn.Module):
    """The moving mean of the probabilities of each class on unlabelled images, `probabilities (classes,)`."""

    probabilities: Tensor

    def __init__(self, classes: int, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("probabilities", torch.full((classes,), 1 / classes, device=device))

    def thresholds(self, threshold: float) -> Tensor:
        """Return that of each class, `(classes,)`; `threshold` for the class with the highest mean."""
        return threshold * self.probabilities / self.probabilities.max()


class FixMatch:
    """The cross-entropy of the strong view with the class of the weak one, if its probability reaches the class's threshold;
    summed, and divided by all unlabelled images of the step, `count`."""

    views, requested = (STRONG,), (WEAK,)

    def __init__(self, classes: int, count: int, threshold: float, weight: float, device: torch.device) -> None:
        self.state = ClassMeans(classes, device)
        self._count, self._threshold, self._weight = count, threshold, weight
        self._sums = torch.zeros(classes, dtype=torch.float64, device=device)

    def loss(self, outputs: Outputs, network: Network) -> Tensor:
        """Return the micro-batch's part of the mean."""
        probabilities = outputs.answers[WEAK].softmax(dim=1)
        self._sums += probabilities.double().sum(0)
        losses = consistency(probabilities, outputs.logits[STRONG], self.state.thresholds(self._threshold))
        return self._weight * losses.sum() / self._count

    def end_step(self, world: World, device: torch.device) -> None:
        """Move the mean probabilities to those of the step, over all ranks."""
        sums = Sum(world, self._sums, "the pseudo-labels' probabilities").on_device()
        self.state.probabilities.lerp_((sums / self._count).float(), 1 - MOMENTUM)
        self._sums = torch.zeros_like(self._sums)


def consistency(weak: Tensor, strong: Tensor, thresholds: Tensor) -> Tensor:
    """Return the loss of each image, `(b,)`, from the probabilities `weak` and the logits `strong`, `(b, classes)`; zero where
    the largest probability is below the threshold of its class."""
    confidence, label = weak.max(dim=1)
    losses = functional.cross_entropy(strong, label, reduction="none")
    return torch.where(confidence >= thresholds[label], losses, torch.zeros_like(losses))
