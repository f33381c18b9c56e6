"""Early-learning regularization: the network stays near what it said of each image before it learned wrong labels.

Source: Liu et al. 2020, Early-Learning Regularization Prevents Memorization of Noisy Labels, equations 3 and 9. The loss of the
labels is cross-entropy; this is the term beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raytl.training.objectives.image_averages import SeenRows
from raytl.training.objectives.joint import Outputs
from raytl.training.objectives.objective import LABELLED, Network
from raytl.training.transfer import on_device
from raytl.world import World

SMALLEST = 1e-4
"""Probabilities are at least this and at most 1 minus it, as in the authors' code, so that the logarithm is finite."""


class Averages(nn.Module):
    """The moving average of the network's probabilities for each training image, `probabilities (images, classes)`; zero at the
    start."""

    probabilities: Tensor

    def __init__(self, images: int, classes: int, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("probabilities", torch.zeros(images, classes, device=device))


class EarlyLearning:
    """`weight` times log(1 - <p, t>): p are the probabilities of an image, t their moving average with this step's."""

    views: Sequence[str] = ()
    requested: Sequence[str] = ()

    def __init__(self, images: int, classes: int, weight: float, momentum: float, device: torch.device) -> None:
        self.state = Averages(images, classes, device)
        self._weight, self._momentum = weight, momentum
        self._seen = SeenRows("the averages of early learning")

    def loss(self, outputs: Outputs, network: Network) -> Tensor:
        """Return the micro-batch's part of the mean over the labelled images."""
        logits = outputs.logits[LABELLED]
        ids = on_device(outputs.ids, logits.device)
        probabilities = logits.softmax(dim=1).clamp(SMALLEST, 1 - SMALLEST)
        said = probabilities.detach()
        said = said / said.sum(dim=1, keepdim=True)
        self._seen.add(ids, said, network.count)
        targets = torch.lerp(said, self.state.probabilities[ids], self._momentum)
        return self._weight * torch.log1p(-(probabilities * targets).sum(dim=1)).sum() / network.count

    def end_step(self, world: World, device: torch.device) -> None:
        """Move the averages of the images of the global batch, the same on all ranks."""
        self._seen.move(self.state.probabilities, self._momentum, world, device)
