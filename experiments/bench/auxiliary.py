"""Measure what auxiliary heads bring where labels are few, on real photos.

    python -m experiments.bench.auxiliary ASSETS [--sets trashnet_256 sign_digits_100] [--labels 10] [--seeds 3] [--epochs 20]

No set of these has metadata, so the column is planted: each photo, of training, validation and test, is taken by one of three
"cameras" (as it is, under orange light, in blue half-light), at random and independent of its class. The column `camera` says by
which. Turned copies need no column. The output is a Markdown table for each set, with the accuracy of each head on validation.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.paired_runs import Answered, answered, photo_rows, print_tables
from experiments.bench.shifted import styled

CAMERAS = ("same", "cast", "night")
CAMERA = {"columns": ["camera"]}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "camera 0.1": {"auxiliary": {**CAMERA, "weight": 0.1}},
    "camera 0.3": {"auxiliary": {**CAMERA, "weight": 0.3}},
    "rotation 0.1": {"auxiliary": {"rotation": 0.1}},
    "rotation 0.3": {"auxiliary": {"rotation": 0.3}},
    "camera and rotation, learned weights": {"auxiliary": {**CAMERA, "rotation": 0.1, "weight": "uncertainty"}},
}
HEADS = ("auxiliary/camera/accuracy", "auxiliary/rotation/accuracy")
SOLVED = {"head_start": "solved", "head_first": 0}
VAL, TEST = 10, 40
"""Photos of each class."""


def taken(photos: Path, out: Path, labels: int, seed: int) -> list[dict[str, str]]:
    """Write so many photos of each class as taken by a camera each, and return their rows; those of validation and test are the
    same for every seed."""
    result = []
    for split, most, number in (("train", labels, seed + 1), ("val", VAL, 0), ("test", TEST, 0)):
        draw, taken_of = np.random.default_rng(number), Counter[str]()
        rows = [row for row in photo_rows(photos) if row["split"] == split]
        for i in draw.permutation(len(rows)).tolist():
            row = rows[i]
            if taken_of[row["label"]] >= most:
                continue
            taken_of[row["label"]] += 1
            camera = str(draw.choice(CAMERAS))
            path = out / split / row["label"] / f"{Path(row['path']).stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            styled(Path(row["path"]), camera).save(path)
            result.append({**row, "path": str(path.resolve()), "camera": camera})
    return result


def results(assets: Path, photos: Path, labels: int, seeds: int, epochs: int) -> dict[str, list[Answered]]:
    """Return the runs of each method, one for each seed."""
    every: dict[str, list[Answered]] = {name: [] for name in METHODS}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            rows = taken(photos, Path(folder) / "photos", labels, seed)
            for place, (name, runs) in enumerate(every.items()):
                own = Path(folder) / str(place)
                runs.append(answered(rows, own, assets, seed, epochs, transfer=SOLVED, **METHODS[name]))
                print(
                    f"seed {seed}, {name}: {100 * runs[-1].correct.mean():.1f} %, {runs[-1].seconds:.0f} s", flush=True
                )
    return every


if __name__ == "__main__":
    print_tables(__doc__, results, HEADS)
