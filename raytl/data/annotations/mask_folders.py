"""Recognize folders of masks by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK_ENDINGS = (".png", ".bmp", ".gif", ".tif", ".tiff")
_MASK_FOLDER = re.compile(
    r"(train|val|valid|validation|test|training|testing)?[_-]?"
    r"(masks?|labels?|annot|annots|annotations?|gt|gtfine|gtcoarse|ground[_-]?truth|segmentations?|segmentationclass(png|raw)?|seg)"
    r"[_-]?(images?|png|imgs?|train|val|test|training|validation|testing)?",
    re.IGNORECASE,
)


def is_mask_folder(key: str) -> bool:
    """Return whether a folder has a name of folders of masks."""
    return any(map(_MASK_FOLDER.fullmatch, key.split("/")))


def mask_keys(keys: Sequence[str]) -> list[str]:
    """Return the keys of images in folders of masks."""
    return [key for key in keys if is_mask(key)]


def is_mask(key: str) -> bool:
    """Return whether an image is in a folder of masks."""
    return key.lower().endswith(MASK_ENDINGS) and is_mask_folder(key.rpartition("/")[0])
