"""The worst mistakes as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.pages.figures import INK, SOFT, chart_text, new_figure, small
from raytl.run.plots import save


@dataclass(frozen=True, slots=True)
class Tile:
    """One photo of a contact sheet: `image (h, w, 3) uint8`, its true and predicted class, and the predicted probability."""

    image: NDArray[np.uint8]
    true: str
    predicted: str
    probability: float
    name: str


def contact_sheet(tiles: Sequence[Tile], path: Path, title: str = "Worst mistakes") -> None:
    """Draw photos with true class, predicted class and probability; without photos, draw a line of text."""
    columns = min(4, max(len(tiles), 1))
    rows = -(-len(tiles) // columns) or 1
    figure = new_figure(max(2.7 * columns, 4.5), 3.2 * rows + 0.4 if tiles else 1.6)
    figure.suptitle(title, color=INK, fontsize=12)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell in cells:
        cell.axis("off")
    for cell, tile in zip(cells, tiles, strict=False):
        cell.imshow(_squared(tile.image))
        prediction = f"predicted {chart_text(tile.predicted, 20)}  {tile.probability:.0%}"
        cell.set_title(f"true {chart_text(tile.true, 24)}\n{prediction}", fontsize=9, color=INK, loc="left")
        below = tile.image.shape[0] + 0.02 * max(tile.image.shape[:2])
        cell.text(-0.5, below, chart_text(tile.name, 40, tail=True), va="top", **small())
    if not tiles:
        cells[0].text(0.5, 0.5, "No mistakes.", ha="center", va="center", fontsize=14, color=SOFT)
    save(figure, path)


def _squared(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pad the photo to a white square, so that all tiles have one size."""
    height, width = image.shape[:2]
    square = np.full((max(height, width),) * 2 + (3,), 255, dtype=np.uint8)
    square[:height, :width] = image
    return square
