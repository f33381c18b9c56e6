"""Draw the pictures of a report: the confusion matrix, and the worst mistakes as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from raytl.run.plots import confusion
from raytl.tasks.classification.plots import Tile, contact_sheet
from raytl.tasks.classification.report import Report
from raytl.tasks.reporting import OpenPhoto
from raytl.tasks.stored_scores import Mistake

TILES = 16
_TILE_PX = 320


def pictures(report: Report, folder: Path, photo: OpenPhoto) -> None:
    """Write confusion.png, and worst.png if there are mistakes, into `folder`."""
    confusion(report.matrix, report.classes, folder / "confusion.png")
    tiles = _tiles(report.mistakes[:TILES], photo)
    if tiles:
        wrong = report.images - int(np.trace(report.matrix))
        title = f"{len(tiles)} worst of {wrong} mistakes" if len(tiles) < wrong else f"All {wrong} mistakes"
        contact_sheet(tiles, folder / "worst.png", f"{title}, {report.subject.split} split")


def _tiles(mistakes: Sequence[Mistake], photo: OpenPhoto) -> list[Tile]:
    tiles = []
    for each in mistakes:
        image = photo(each.path)
        if image is None:  # removed since it was scored; the report still names it
            continue
        image.thumbnail((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS)
        tiles.append(Tile(np.asarray(image), each.true, each.predicted, each.probability, each.key))
    return tiles
