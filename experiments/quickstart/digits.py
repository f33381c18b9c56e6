"""The niche: handwritten digits, scanned at 8 x 8 pixels (scikit-learn's copy of the UCI set), with few labels.

A person has time to label a handful of each class; all other scans are the held-out test.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

PX = 32
"""Side of the pictures: the scans, enlarged four times."""


def write(root: Path, train: int, val: int, seed: int = 0) -> dict[str, int]:
    """Writes `train` and `val` scans of each digit and the rest as test, as `root/<split>/<digit>/<number>.png`.

    The seed decides which scans are labelled. Returns how many pictures each split has.
    """
    scans = load_digits()
    order = np.random.default_rng(seed).permutation(len(scans.target))
    counts = {"train": 0, "val": 0, "test": 0}
    for digit in range(10):
        own = [i for i in order if scans.target[i] == digit]
        for place, i in enumerate(own):
            split = "train" if place < train else "val" if place < train + val else "test"
            folder = root / split / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            picture(scans.images[i]).save(folder / f"{i:04d}.png")
            counts[split] += 1
    return counts


def picture(scan: np.ndarray) -> Image.Image:
    """Light ink on black, as the set has it, from a scan `(8, 8)` of ink in [0, 16]."""
    page = (scan * (255 / 16)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(page).resize((PX, PX), Image.Resampling.BICUBIC)
