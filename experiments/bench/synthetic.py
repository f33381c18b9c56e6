"""Measure what made images bring beside few real ones, on real photos.

    python -m experiments.bench.synthetic ASSETS [--sets trashnet_256 sign_digits_100] [--labels 10] [--seeds 3] [--epochs 20]

The made images are other training photos in a style (experiments/bench/shifted.py), so that they show what the few real ones lack:
under orange light, as from a generator that is nearly right, as cartoons, as from one that is not; and under orange light with
half of their labels wrong. The real images decide the steps, so a part of made images makes batches of fewer real ones and more
steps. The output is a Markdown table for each set.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.paired_runs import Answered, Row, answered, photo_rows, print_tables
from experiments.bench.shifted import styled
from experiments.bench.sources import unlike

MADE = {"cast": ("cast", 0.0), "cartoon": ("cartoon", 0.0), "wrong": ("cast", 0.5)}
"""Of each set of made images: the style, and the part of wrong labels."""
METHODS: Mapping[str, tuple[str, float]] = {
    "real images alone": ("", 0.0),
    "orange light, 0.25": ("cast", 0.25),
    "orange light, 0.5": ("cast", 0.5),
    "cartoons, 0.25": ("cartoon", 0.25),
    "cartoons, 0.5": ("cartoon", 0.5),
    "orange light, half of the labels wrong, 0.5": ("wrong", 0.5),
}
SOLVED = {"head_start": "solved", "head_first": 0}
MADE_IMAGES, VAL, TEST = 40, 10, 40
"""Photos of each class."""


def few(rows: list[dict[str, str]], most: int, seed: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return so many photos of each class, drawn at random, and all others in the order of the draw."""
    kept, rest, counts = list[dict[str, str]](), list[dict[str, str]](), Counter[str]()
    for place in np.random.default_rng(seed).permutation(len(rows)).tolist():
        row = rows[place]
        counts[row["label"]] += 1
        (kept if counts[row["label"]] <= most else rest).append(row)
    return kept, rest


def make(photos: list[dict[str, str]], test: list[Path], out: Path, style: str, wrong: float, seed: int) -> str:
    """Write made images of each class below `out`, without those that look like a test photo, and return it."""
    draw, names = np.random.default_rng(seed), sorted({row["label"] for row in photos})
    for row in photos:
        others = [name for name in names if name != row["label"]]
        label = str(draw.choice(others)) if draw.random() < wrong else row["label"]
        path = out / label / f"{Path(row['path']).stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        styled(Path(row["path"]), style).save(path)
    made = sorted(out.rglob("*.png"))
    for path in {*made} - {*unlike(made, test)}:
        path.unlink()
    return str(out)


def results(assets: Path, photos: Path, labels: int, seeds: int, epochs: int) -> dict[str, list[Answered]]:
    """Return the runs of each method, one for each seed; photos of validation and test are the same for every seed."""
    every: dict[str, list[Answered]] = {name: [] for name in METHODS}
    splits = {split: [row for row in photo_rows(photos) if row["split"] == split] for split in ("train", "val", "test")}
    fixed = [*few(splits["val"], VAL, 0)[0], *few(splits["test"], TEST, 0)[0]]
    test = [Path(row["path"]) for row in fixed if row["split"] == "test"]
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            real, rest = few(splits["train"], labels, seed + 1)
            other = few(rest, MADE_IMAGES, seed + 1)[0]
            made = {name: make(other, test, Path(folder) / name, *how, seed) for name, how in MADE.items()}
            rows: list[Row] = [*real, *fixed]
            for place, (name, runs) in enumerate(every.items()):
                source, part = METHODS[name]
                data: dict[str, Any] = {"synthetic": {"uri": made[source], "share": part}} if source else {}
                own = Path(folder) / str(place)
                runs.append(answered(rows, own, assets, seed, epochs, transfer=SOLVED, data=data))
                print(
                    f"seed {seed}, {name}: {100 * runs[-1].correct.mean():.1f} %, {runs[-1].seconds:.0f} s", flush=True
                )
    return every


if __name__ == "__main__":
    print_tables(__doc__, results)
