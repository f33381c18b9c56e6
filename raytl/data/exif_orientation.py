"""An opened image with its pixels decoded, turned as its EXIF orientation says."""

from __future__ import annotations

from PIL import Image, ImageOps


def apply_orientation(image: Image.Image) -> Image.Image:
    """Return the image, which is decoded and turned upright in place."""
    image.load()
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return image
    return image
