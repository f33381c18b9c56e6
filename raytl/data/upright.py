"""An opened image with its pixels decoded, turned as its EXIF orientation says."""

from __future__ import annotations

from PIL import Image, ImageOps


def upright(image: Image.Image) -> Image.Image:
    """Return the image decoded and turned upright."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return image
