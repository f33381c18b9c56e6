"""Pictures for the check of equal bits: drawn gratings, or real photos where there are some."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("bars", "checks", "grid", "rings")
PX = 48


def draw(root: Path, span: tuple[int, int]) -> None:
    """Write the noisy gratings `span` of each class as `root/<class>/<number>.png`."""
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(*span):
            Image.fromarray(grating(label, number)).save(root / name / f"{number:04d}.png")


def grating(label: int, number: int) -> np.ndarray:
    """Return the pixels `(PX, PX, 3)` of a class's grating with random waves, phase, color and noise."""
    rng = np.random.default_rng([label, number])
    y, x = np.mgrid[0:PX, 0:PX] / PX
    waves, phase = 2 * np.pi * rng.uniform(2, 5), rng.uniform(0, 2 * np.pi)
    across, down, radius = np.sin(waves * x + phase), np.sin(waves * y), np.hypot(x - 0.5, y - 0.5)
    shape = (across, across * down, np.maximum(across, down), np.sin(waves * radius + phase))[label]
    pixels = 128 + 60 * shape[..., None] * rng.uniform(-1, 1, 3) + rng.normal(0, 40, (PX, PX, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def copy(source: Path, root: Path, span: tuple[int, int]) -> None:
    """Copy the photos `span` of each class folder in `source`."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        (root / folder.name).mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.iterdir())[slice(*span)]:
            shutil.copyfile(file, root / folder.name / file.name)
