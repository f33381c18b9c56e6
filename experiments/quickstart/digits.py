"""The target domain: handwritten digits scanned at 8 x 8 pixels (scikit-learn's copy of the UCI set), with few labels.

Only a few scans of each class are labelled; all others are the held-out test.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

PX = 32
"""Width of the images: the scans, enlarged four times."""


def write(root: Path, train: int, val: int, seed: int = 0) -> dict[str, int]:
    """Write `train` and `val` scans of each digit and the rest as test, as `root/<split>/<digit>/<number>.png`.

    The seed selects the labelled scans. Return the number of images by split.
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
    """Return light ink on black, as in the dataset, from a scan `(8, 8)` of ink in [0, 16]."""
    page = (scan * (255 / 16)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(page).resize((PX, PX), Image.Resampling.BICUBIC)
