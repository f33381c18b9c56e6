"""Measure corrupted images a second on one core, by corruption, and draw what each severity looks like.

    OMP_NUM_THREADS=1 python -m experiments.bench.corruptions photos/ [224]

The photos are a folder of JPEG files; the number is the shorter side in pixels to which they are resized.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from raytl.data.corruptions.corruption import SEVERITIES, Corruption
from raytl.data.corruptions.suite import SUITES
from raytl.data.images import Pixels

_PHOTOS, _CPU_S = 8, 0.3


def rate(corruption: Corruption, photos: list[Pixels]) -> float:
    """Return the images a second of CPU time over all severities, tables that are shared by images left out."""
    for severity in SEVERITIES:
        corruption(photos[0], severity, "first")
    done, began = 0, time.process_time()
    while (spent := time.process_time() - began) < _CPU_S:
        corruption(photos[done % len(photos)], SEVERITIES[done % 3], str(done))
        done += 1
    return done / spent


def main(folder: str, side: str = "224") -> None:
    """Print a table of rates."""
    files = sorted(Path(folder).rglob("*.jpg"))
    chosen = files[:: max(1, len(files) // _PHOTOS)][:_PHOTOS]
    photos = [np.array(Image.open(path).convert("RGB").resize((int(side), int(side)))) for path in chosen]
    print("| suite | corruption | images a second |\n|---|---|---:|")
    for suite, members in SUITES.items():
        rates = {each.name: rate(each, photos) for each in members}
        for name, value in rates.items():
            print(f"| {suite} | {name} | {value:,.0f} |")
        mean = len(rates) / sum(1 / value for value in rates.values())
        print(f"| **{suite}** | **all** | **{mean:,.0f}** |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
