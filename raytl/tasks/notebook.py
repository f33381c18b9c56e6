"""Show predictions as pictures in notebooks."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from raytl.errors import RaytlError, UserError
from raytl.tasks.answers import open_photo

Photo = Image.Image | NDArray[np.uint8]


def picture_of(photo: str | None, image: Photo | None) -> Image.Image:
    """Return `image` as an upright RGB image, or without it the photo at a path or URI.

    Raises:
        UserError: there is neither, or the photo cannot be read.
    """
    if image is not None:
        upright = ImageOps.exif_transpose(image) if isinstance(image, Image.Image) else Image.fromarray(image)
        return upright.convert("RGB")
    if photo is None:
        raise UserError("draw: this is the prediction of an image in memory; expected that image. Call draw(image).")
    opened = open_photo(photo)
    if opened is None:
        raise UserError(f"{photo}: the photo cannot be read; expected it where it was predicted. Call draw(image).")
    return opened


def png(draw: Callable[[], Image.Image]) -> bytes | None:
    """Return what `draw` returns as PNG; None if it cannot draw, so that a notebook shows the text instead."""
    try:
        picture = draw()
    except RaytlError:
        return None
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def of_photo(photo: str | None) -> str:
    """Return the end of a prediction's text that names its photo."""
    return "" if photo is None else f", photo={photo!r}"


def counted(labels: list[str]) -> str:
    """Return how often each label occurs, the most frequent first: `12 RBC, 1 WBC`."""
    counts = {label: labels.count(label) for label in dict.fromkeys(labels)}
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])
    listed = ", ".join(f"{count} {label}" for label, count in ranked[:5])
    return listed + (f" and {len(ranked) - 5} more classes" if len(ranked) > 5 else "")
