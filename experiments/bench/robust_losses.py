"""Measure what robust losses bring to a fine-tuned network where labels are wrong, on real photos with planted errors.

    python -m experiments.bench.robust_losses ASSETS [--seeds 3] [--rate 0.2] [--images 100] [--epochs 8]

Of each class of TrashNet, so many training photos are learned. A part of their labels is changed to another class at random;
labels of validation (which selects the epoch) and test stay right. The last row learns from the right labels. The output is a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.paired_runs import Answered, answered, photo_rows, table

METHODS: Mapping[str, Mapping[str, Any]] = {
    "cross-entropy": {"train": {"loss": "cross_entropy"}},
    "gce": {"train": {"loss": "gce"}},
    "elr": {"train": {"loss": "elr"}},
    "elr, weight 1": {"train": {"loss": "elr", "elr_weight": 1.0}},
    "small loss": {"train": {"loss": "small_loss"}},
    "flagged left out": {"labels": {"noise": "leave_out"}},
}
ORACLE = "cross-entropy, right labels"


def planted(rows: list[dict[str, str]], rate: float, seed: int) -> list[dict[str, str]]:
    """Return the rows; a fraction `rate` of the training photos has the label of another class."""
    draw = np.random.default_rng(seed)
    classes = sorted({row["label"] for row in rows})
    train = [i for i, row in enumerate(rows) if row["split"] == "train"]
    wrong = set(draw.permutation(train)[: round(rate * len(train))].tolist())
    return [
        {**row, "label": str(draw.choice([name for name in classes if name != row["label"]]))} if i in wrong else row
        for i, row in enumerate(rows)
    ]


def limited(rows: list[dict[str, str]], images: int) -> list[dict[str, str]]:
    """Return the rows with at most so many training photos of each class."""
    draw, counts = np.random.default_rng(0), Counter[str]()
    result = []
    for i in draw.permutation(len(rows)).tolist():
        row = rows[i]
        counts[row["label"]] += row["split"] == "train"
        if row["split"] != "train" or counts[row["label"]] <= images:
            result.append(row)
    return sorted(result, key=lambda row: row["path"])


def results(given: argparse.Namespace) -> dict[str, list[Answered]]:
    """Return the runs of each method, one for each seed."""
    photos = given.photos or given.assets / "datasets/trashnet_256"
    rows = limited(photo_rows(photos), given.images)
    every: dict[str, list[Answered]] = {name: [] for name in (*METHODS, ORACLE)}
    for seed in range(given.seeds):
        noisy = planted(rows, given.rate, seed)
        for name, runs in every.items():
            with tempfile.TemporaryDirectory() as folder:
                learned, sections = (rows, {}) if name == ORACLE else (noisy, METHODS[name])
                runs.append(answered(learned, Path(folder) / "run", given.assets, seed, given.epochs, **sections))
            print(f"seed {seed}, {name}: {100 * runs[-1].correct.mean():.1f} %, {runs[-1].seconds:.0f} s", flush=True)
    return every


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--photos", type=Path, help="train/, val/ and test/ of class folders; TrashNet by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--images", type=int, default=100, help="training photos of each class")
    parser.add_argument("--epochs", type=int, default=8)
    print("\n" + table(results(parser.parse_args())))


if __name__ == "__main__":
    main()
