"""Occlusion (Zeiler & Fergus 2014): how much the score falls while a square of the image has the mean color."""

from __future__ import annotations

import torch
from torch import Tensor

from raytl.models.attribution.scoring import Scores
from raytl.models.backbone import Backbone

CELLS = 8
"""Rows and columns of the map."""
_SQUARE = 2
"""Cells along each side of the square."""


@torch.no_grad()
def occlusion(backbone: Backbone, inputs: Tensor, places: Tensor, scores: Scores, cells: int = CELLS) -> Tensor:
    """Return the mean loss of score over the squares that cover each cell, `(b, cells, cells)`.

    Squares of 2 x 2 cells move by one cell and reach beyond the border, so that each cell is covered four times. Costs
    `(cells + 1)**2 + 1` forward passes.
    """
    whole = scores(backbone.module(inputs), places)
    losses = torch.zeros(len(inputs), cells, cells, device=inputs.device)
    rows, columns = (_edges(side, cells) for side in inputs.shape[-2:])
    for top in range(1 - _SQUARE, cells):
        for left in range(1 - _SQUARE, cells):
            (t, b), (le, r) = ((max(at, 0), min(at + _SQUARE, cells)) for at in (top, left))
            covered = inputs.clone()
            covered[..., rows[t] : rows[b], columns[le] : columns[r]] = 0
            loss = whole - scores(backbone.module(covered), places)
            losses[:, t:b, le:r] += loss[:, None, None] / _SQUARE**2
    return losses


def _edges(side: int, cells: int) -> list[int]:
    return [round(side * i / cells) for i in range(cells + 1)]
