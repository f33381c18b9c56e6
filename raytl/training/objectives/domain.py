"""Terms that draw the features of a target domain to those of the labelled images, without its labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from raytl.training.objectives.joint import Outputs
from raytl.training.objectives.objective import LABELLED, Network
from raytl.world import World

TARGET_VIEW = "target"
"""The name of the target domain's view."""
_BANDWIDTHS: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0)
Distance = Callable[[Tensor, Tensor], Tensor]
"""Returns the distance `()` of two sets of features, `(n, d)` and `(m, d)`."""


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Return the squared Frobenius norm of the difference of the covariances, divided by 4 d^2 (Sun & Saenko 2016, eq. 1)."""
    width = source.shape[1]
    return (_covariance(source) - _covariance(target)).square().sum() / (4 * width**2)


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Return the squared maximum mean discrepancy under a sum of Gaussian kernels (Long et al. 2015; the quadratic estimate of
    Gretton et al. 2012, eq. 3, without the terms of an image with itself).

    The middle bandwidth is the mean squared distance of all pairs; the others are 1/4, 1/2, 2 and 4 times that.
    """
    both = torch.cat([source, target])
    squared = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist").square()
    count, n = len(both), len(source)
    mean = squared.detach().sum() / (count * (count - 1))
    kernel = torch.stack([torch.exp(-squared / (mean * width).clamp_min(1e-12)) for width in _BANDWIDTHS]).sum(0)
    kernel = kernel - torch.diag_embed(kernel.diagonal())
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / ((count - n) * (count - n - 1))
    return within - 2 * kernel[:n, n:].mean()


def _covariance(features: Tensor) -> Tensor:
    centered = features - features.mean(0)
    return centered.T @ centered / (len(features) - 1)


class Discrepancy:
    """The `distance` of the features of the labelled and the target images of a micro-batch, a mean over micro-batches by
    their number of labelled images; a statistic of each micro-batch, so it depends on how a batch is divided."""

    views: Sequence[str] = (TARGET_VIEW,)
    requested: Sequence[str] = ()
    state: nn.Module | None = None

    def __init__(self, distance: Distance, weight: float) -> None:
        self._distance, self._weight = distance, weight

    def loss(self, outputs: Outputs, network: Network) -> Tensor:
        """Return the micro-batch's part of the mean; zero with less than two images of either, which have no covariance."""
        source, target = outputs.features[LABELLED], outputs.features[TARGET_VIEW]
        if min(len(source), len(target)) < 2:
            return source.sum() * 0
        return self._weight * self._distance(source, target) * (len(source) / network.count)

    def end_step(self, world: World, device: torch.device) -> None:
        """Do nothing: it owns nothing."""
