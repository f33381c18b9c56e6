"""Shifted versions of photos: the same content in another style, to measure domain adaptation on.

    python -m experiments.bench.shifted SOURCE OUT --style sketch

writes OUT/data: half of the training photos as they are, validation photos and test photos in the style; and OUT/target: the
other half of the training photos in the style. The class folders below OUT/target are there for readers; training ignores them.
Photos that look like a test photo are left out, and --labels keeps so many validation photos of each class.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from raytl.data.perceptual_hash import nearest, phash

Draw = np.random.Generator
Style = Callable[[Image.Image, Draw], Image.Image]


def _same(photo: Image.Image, draw: Draw) -> Image.Image:
    return photo


def _sketch(photo: Image.Image, draw: Draw) -> Image.Image:
    """Return a pencil sketch: the photo in grey, divided by its blurred self."""
    grey = np.asarray(photo.convert("L"), np.float32)
    smooth = np.asarray(photo.convert("L").filter(ImageFilter.GaussianBlur(max(photo.size) / 60)), np.float32)
    lines = np.clip(grey / np.maximum(smooth, 1) * 255, 0, 255)
    return Image.fromarray(np.uint8(255 * (lines / 255) ** 4)).convert("RGB")


def _negative(photo: Image.Image, draw: Draw) -> Image.Image:
    return ImageOps.invert(photo)


def _night(photo: Image.Image, draw: Draw) -> Image.Image:
    """Return the photo in a blue half-light, with the noise of a sensor."""
    light = np.asarray(photo, np.float32) * np.array([0.18, 0.26, 0.5], np.float32)
    return Image.fromarray(np.uint8(np.clip(light + draw.normal(0, 12, light.shape), 0, 255)))


def _cast(photo: Image.Image, draw: Draw) -> Image.Image:
    """Return the photo under a strong orange light, in low contrast."""
    values = np.asarray(photo, np.float32) / 255
    mixed = values @ np.array([[0.7, 0.25, 0.0], [0.3, 0.35, 0.1], [0.2, 0.1, 0.25]], np.float32)
    return Image.fromarray(np.uint8(np.clip((0.35 + 0.5 * mixed) * np.array([255, 190, 90]), 0, 255)))


def _camera(photo: Image.Image, draw: Draw) -> Image.Image:
    """Return the photo from a poor camera: few pixels, noise, hard JPEG."""
    width, height = photo.size
    side = 48 / min(width, height)
    small = photo.resize((max(1, round(width * side)), max(1, round(height * side))), Image.Resampling.BOX)
    values = np.asarray(small, np.float32)
    noisy = Image.fromarray(np.uint8(np.clip(values * 0.9 + 20 + draw.normal(0, 14, values.shape), 0, 255)))
    stream = io.BytesIO()
    noisy.save(stream, "JPEG", quality=25)
    return Image.open(stream).convert("RGB").resize(photo.size, Image.Resampling.BILINEAR)


def _cartoon(photo: Image.Image, draw: Draw) -> Image.Image:
    """Return flat areas of few loud colors with black outlines."""
    smooth = photo.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.MedianFilter(5))
    loud = np.asarray(ImageOps.posterize(ImageOps.autocontrast(smooth), 2), np.float32)
    loud = 255 - (255 - loud[..., [1, 2, 0]]) * 0.9
    edges = np.asarray(smooth.convert("L").filter(ImageFilter.FIND_EDGES), np.float32)
    return Image.fromarray(np.uint8(np.where(edges[..., None] > 24, 0, loud)))


STYLES: Mapping[str, Style] = {
    "same": _same,
    "cast": _cast,
    "night": _night,
    "camera": _camera,
    "negative": _negative,
    "cartoon": _cartoon,
    "sketch": _sketch,
}
"""From a photo and a random generator, which is the photo's own, to the photo in the style."""


def styled(path: Path, style: str) -> Image.Image:
    """Return the photo at `path` in `style`; the same each time."""
    with Image.open(path) as photo:
        return STYLES[style](photo.convert("RGB"), np.random.default_rng(number_of(path)))


def number_of(path: Path) -> int:
    """Return a number that depends on the last two parts of `path` alone."""
    return int.from_bytes(hashlib.sha256("/".join(path.parts[-2:]).encode()).digest()[:8], "big")


def is_of_target(path: Path) -> bool:
    """Return True for the half of the training photos that the target has."""
    return bool(number_of(path) & 1)


def photos(folder: Path) -> list[Path]:
    """Return the photos below the class folders of `folder`, sorted."""
    return sorted(path for path in folder.glob("*/*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def write(source: Path, out: Path, style: str, labels: int | None = None) -> None:
    """Write the labelled data and the target without labels of `style` to `out`; `labels` limits validation photos of a class."""
    hashes = []
    for split in ("test", "val", "train"):
        for path in photos(source / split):
            is_target = split == "train" and is_of_target(path)
            photo = styled(path, style if is_target or split != "train" else "same")
            look = phash(photo)
            if split == "test":
                hashes.append(look)
            elif nearest([look], hashes) != [None]:
                continue
            place = _place(out / "target" if is_target else out / "data" / split, path)
            if split == "val" and labels is not None and len(list(place.parent.iterdir())) >= labels:
                continue
            photo.save(place.with_suffix(".png"))


def _place(folder: Path, path: Path) -> Path:
    place = folder / path.parent.name / path.name
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a folder of train/, val/ and test/ with class folders")
    parser.add_argument("out", type=Path)
    parser.add_argument("--style", choices=sorted(STYLES), default="sketch")
    parser.add_argument("--labels", type=int)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    write(arguments.source, arguments.out, arguments.style, arguments.labels)
