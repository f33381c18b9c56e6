"""The JPEG files of the benches: TrashNet photos from the assets, or else drawn images of the same size."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SIZE = (341, 256)
"""Width and height of the drawn images, in pixels, as in the assets."""


def photos(root: Path, train: int, val: int = 12, classes: int = 6) -> str:
    """Write `train` and `val` JPEGs in class folders under `root/train` and `root/val`; return their description."""
    shutil.rmtree(root, ignore_errors=True)
    assets = Path(os.environ.get("RAYTL_ASSETS", "../shared/assets")) / "datasets" / "trashnet_256"
    for split, count in (("train", train), ("val", val)):
        if assets.is_dir():
            copied(assets / split, root / split, count)
        else:
            drawn(root / split, count, classes)
    return "TrashNet photos, 256 px" if assets.is_dir() else f"drawn photos, {SIZE[0]}x{SIZE[1]}"


def copied(source: Path, target: Path, count: int) -> None:
    """Copy the first photos of every class in turn, at most `count` in all."""
    folders = [sorted(folder.iterdir()) for folder in sorted(source.iterdir()) if folder.is_dir()]
    turns = [files[i] for i in range(max(map(len, folders))) for files in folders if i < len(files)]
    for file in turns[:count]:
        (target / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / file.parent.name / file.name)


def drawn(target: Path, count: int, classes: int) -> None:
    """Draw smooth random images with JPEG quality 90, which decode as fast as real photos."""
    draw = np.random.default_rng(0)
    for number in range(count):
        coarse = draw.integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).filter(ImageFilter.SHARPEN)
        folder = target / f"class-{number % classes}"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{target.name}-{number:05d}.jpg", quality=90)
