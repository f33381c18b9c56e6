"""Fine-tuned runs whose answers for the same test photos are compared: accuracy, and the gain over the first with its interval."""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import raytl

MODEL, WEIGHTS, PX = "mobilenetv2_100", "weights/mobilenetv2_100_tv.safetensors", 96
RESAMPLES = 2000
Row = Mapping[str, str]
"""The columns of a photo: path, label, split, and others."""


@dataclass(frozen=True, eq=False)
class Answered:
    """Which test photos a run has right, the seconds of a processor of its training, and its metrics on validation."""

    correct: NDArray[np.bool_]
    seconds: float
    metrics: Mapping[str, float]


Results = Callable[[Path, Path, int, int, int], Mapping[str, Sequence[Answered]]]
"""Returns the runs of each method, one for each seed, from the assets, the photos, the labels of each class, the seeds and epochs."""


def manifest(rows: Sequence[Row], place: Path) -> Path:
    """Write the table of photos to `place` and return it."""
    with place.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return place


def answered(rows: Sequence[Row], folder: Path, assets: Path, seed: int, epochs: int, **sections: Any) -> Answered:
    """Fine-tune two stages and the head of MobileNetV2 on the photos of `rows` in `folder`; return its answers for the test."""
    folder.mkdir(parents=True)
    model = {"name": MODEL, "weights": str(assets / WEIGHTS), "preprocess": {"image_px": PX}}
    train = {"epochs": epochs, "batch_size": 16, "early_stop": 0, "seed": seed, "precision": "fp32"}
    experiment = raytl.Experiment(
        name="bench",
        data={"uri": str(manifest(rows, folder / "photos.csv"))} | sections.pop("data", {}),
        model=model,
        recipe="none",
        transfer={"unfreeze": 2, "head_first": 1, "fallback": "off"} | sections.pop("transfer", {}),
        train=train | sections.pop("train", {}),
        compute={"cluster": "none", "device": "cpu"},
        storage={"uri": str(folder / "runs")},
        **sections,
    )
    began = time.process_time()
    run = raytl.train(experiment, progress=False)
    seconds = time.process_time() - began
    labels = {row["path"]: row["label"] for row in rows if row["split"] == "test"}
    answers = raytl.predict(run, list(labels), progress=False).rows
    correct = [row["predicted"] == labels[row["path"]] for row in answers]
    return Answered(np.array(correct), seconds, run.metrics)


def photo_rows(source: Path) -> list[dict[str, str]]:
    """Return a row for each photo below the class folders of train/, val/ and test/ in `source`."""
    files = sorted(path for path in source.glob("*/*/*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [
        {"path": str(path.resolve()), "label": path.parent.name, "split": path.parent.parent.name} for path in files
    ]


def table(results: Mapping[str, Sequence[Answered]], more: Iterable[str] = ()) -> str:
    """Return a Markdown table with a row for each method, of which `results` has a run for each seed; the gain is over the
    first, with a 95 % interval by a bootstrap over test photos. `more` are metrics to show, as means."""
    more = tuple(more)
    first = np.mean([run.correct for run in next(iter(results.values()))], axis=0)
    header = ("method", "test accuracy % (each seed)", "gain in points (95 %)", *more, "CPU s")
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for name, runs in results.items():
        each = [100 * float(run.correct.mean()) for run in runs]
        gain = np.mean([run.correct for run in runs], axis=0) - first
        low, high = _interval(gain)
        cells = [
            name,
            f"{np.mean(each):.1f} ({', '.join(f'{value:.1f}' for value in each)})",
            f"{100 * gain.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})" if gain.any() else "–",
            *(_mean(key, runs) for key in more),
            f"{np.mean([run.seconds for run in runs]):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def print_tables(about: str | None, results: Results, more: Sequence[str] = ()) -> None:
    """Print a table for each set that the command line names, with the runs that `results` returns."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--sets", nargs="+", default=["trashnet_256", "sign_digits_100"])
    parser.add_argument("--labels", type=int, default=10, help="labelled training photos of each class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    for name in given.sets:
        runs = results(given.assets, given.assets / "datasets" / name, given.labels, given.seeds, given.epochs)
        print(f"\n{name}, {given.labels} labels a class, {given.seeds} seeds\n\n{table(runs, more)}\n")


def _interval(gain: NDArray[np.float64]) -> tuple[float, float]:
    draws = np.random.default_rng(0).integers(0, len(gain), (RESAMPLES, len(gain)))
    low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975]).tolist()
    return low, high


def _mean(key: str, runs: Sequence[Answered]) -> str:
    values = [run.metrics[key] for run in runs if key in run.metrics]
    return f"{np.mean(values):.3f}" if values else "–"
