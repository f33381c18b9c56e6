"""Draw the pictures of a report: the confusion matrix, and the worst mistakes as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.data.decode import BadImage, decode
from raytl.errors import StoreError
from raytl.evaluation.report import Mistake, Report
from raytl.run.plots import Tile, confusion, contact_sheet
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

TILES = 16
_TILE_PX = 320


def pictures(
    report: Report,
    folder: Path,
    max_pixels: int,
    depth: BitDepth = SIXTEEN_BITS,
    s3: S3Settings = ENVIRONMENT,
) -> None:
    """Write confusion.png, and worst.png if there are mistakes, into `folder`."""
    confusion(report.matrix, report.classes, folder / "confusion.png")
    tiles = _tiles(report.mistakes[:TILES], max_pixels, depth, s3)
    if tiles:
        wrong = report.images - int(np.trace(report.matrix))
        title = f"{len(tiles)} worst of {wrong} mistakes" if len(tiles) < wrong else f"All {wrong} mistakes"
        contact_sheet(tiles, folder / "worst.png", f"{title}, {report.subject.split} split")


def _tiles(mistakes: Sequence[Mistake], max_pixels: int, depth: BitDepth, s3: S3Settings) -> list[Tile]:
    tiles = []
    for each in mistakes:
        try:
            photo = decode(each.path, max_pixels, depth, s3)
        except (BadImage, StoreError):  # removed since it was scored; the report still names it
            continue
        photo.thumbnail((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS)
        tiles.append(Tile(np.asarray(photo), each.true, each.predicted, each.probability, each.key))
    return tiles
