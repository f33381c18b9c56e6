"""Decode an opened image and rotate it by its EXIF orientation."""

from __future__ import annotations

from PIL import Image, ImageOps


def apply_orientation(image: Image.Image) -> Image.Image:
    """Return the image, decoded and rotated upright in place."""
    image.load()
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # a broken EXIF block does not make the pixels unusable
        return image
    return image
