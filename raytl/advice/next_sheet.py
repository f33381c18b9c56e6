"""The images to label next as a CSV table with an empty column `label`, and as a page with thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raytl.config.schema import Experiment
from raytl.data.bad_image import BadImage
from raytl.data.decode import decode
from raytl.errors import StoreError
from raytl.pages import Html, jpeg, render
from raytl.run.atomic import write_text
from raytl.sanitize import csv_cell
from raytl.store.s3_settings import S3Settings

if TYPE_CHECKING:
    from raytl.advice.next_images import NextImage

_HEAD = ("path", "label", "suggested", "confidence", "uncertainty")
_PX = 192
_MOST_SHOWN = 500


def table(images: Sequence[NextImage]) -> str:
    """Return the CSV table of the images; `label` is empty."""
    rows = [
        _HEAD,
        *(
            (one.uri or one.path, "", one.suggested, f"{one.confidence:.4f}", f"{one.uncertainty:.4f}")
            for one in images
        ),
    ]
    return "".join(",".join(map(csv_cell, row)) + "\n" for row in rows)


def write_page(out: Path, images: Sequence[NextImage], experiment: Experiment) -> Path:
    """Write the page beside the table `out`, and return its path."""
    page = out.with_suffix(".html")
    s3 = S3Settings.of(experiment.storage)
    with_pictures = [(image, _thumbnail(image.path, experiment.data.max_pixels, s3)) for image in images[:_MOST_SHOWN]]
    text = render(
        "raytl.advice",
        "next.html.j2",
        images=images,
        with_pictures=with_pictures,
        table=str(out),
        uri=experiment.data.unlabelled,
    )
    write_text(page, text)
    return page


def _thumbnail(path: str, max_pixels: int, s3: S3Settings) -> Html | None:
    try:
        image = decode(path, max_pixels, s3=s3)
    except (BadImage, StoreError):
        return None
    image.thumbnail((_PX, _PX))
    return jpeg(image)
