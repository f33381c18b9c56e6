"""Integrated gradients (Sundararajan et al. 2017), from an image of the mean color to the image.

The values add up to the score of the image minus that of the mean color (completeness).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from raytl.models.attribution.scoring import Scores
from raytl.models.backbone import Backbone

STEPS = 64
"""Points of the Gauss-Legendre quadrature. On a trained MobileNetV2 the values then add up to within 3 % of the difference of
scores, with 32 to within 15 %."""
CELLS = 28
"""Rows and columns that the values of pixels are summed into, as those of single pixels are mostly noise."""


def integrated_gradients(
    backbone: Backbone, inputs: Tensor, places: Tensor, scores: Scores, steps: int = STEPS
) -> Tensor:
    """Return the contribution of each pixel, `(b, height, width)`; negative values speak against the class."""
    total = torch.zeros_like(inputs)
    for point, weight in zip(*np.polynomial.legendre.leggauss(steps), strict=True):
        scaled = (inputs * float((point + 1) / 2)).requires_grad_()
        (gradient,) = torch.autograd.grad(scores(backbone.module(scaled), places).sum(), scaled)
        total += gradient * float(weight / 2)
    return (total * inputs).sum(dim=1)


def summed_gradients(backbone: Backbone, inputs: Tensor, places: Tensor, scores: Scores, steps: int = STEPS) -> Tensor:
    """Return `integrated_gradients` averaged over cells, `(b, rows, columns)` with `CELLS` rows and columns at most."""
    pixels = integrated_gradients(backbone, inputs, places, scores, steps)
    size = min(CELLS, pixels.shape[1]), min(CELLS, pixels.shape[2])
    return functional.adaptive_avg_pool2d(pixels[:, None], size)[:, 0]
