"""Measure the test accuracy of experiment files over seeds, as a Markdown table for LOG.md.

    python -m experiments.accuracy experiments/trash-*.yaml experiments/signs-mobilenetv2.yaml --append experiments/LOG.md

Each seed is a run under runs/accuracy/, evaluated once. A second call resumes interrupted runs and reads the reports of
finished ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytl import load_experiment, train

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")


@dataclass(frozen=True)
class Row:
    """One run: its scores on the test split as (value, low, high), its epochs and seconds."""

    experiment: str
    seed: int
    scores: dict[str, tuple[float, float, float]]
    validation: float
    epochs: int
    seconds: float


def measured(file: Path, seed: int, overrides: list[str], storage: str) -> Row:
    """Return the run of `file` with `seed`; train and evaluate it if needed."""
    name = load_experiment(file, overrides).name
    given = [*overrides, f"train.seed={seed}", f"name={name}-seed-{seed}", f"storage.uri={storage}"]
    experiment = load_experiment(file, given)
    started = time.monotonic()
    run = train(experiment)
    report = run.path / "evaluation" / "test" / "report.json"
    if not report.exists():
        run.evaluate()
    results = json.loads(report.read_text(encoding="utf-8"))
    return Row(
        experiment=name,
        seed=seed,
        scores={metric: bounds(results, metric) for metric in METRICS},
        validation=run.metrics[experiment.train.metric],
        epochs=run.epochs,
        seconds=trained_s(run.path) or time.monotonic() - started,
    )


def bounds(report: dict[str, Any], metric: str) -> tuple[float, float, float]:
    """Return a score of a report with its 95 % interval."""
    score = report["metrics"][metric]
    return score["value"], score["low"], score["high"]


def trained_s(run: Path) -> float:
    """Return the seconds of training and validation in all epochs of a run."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return sum(record["train/seconds"] + record["val/seconds"] for record in records)


def table(rows: list[Row]) -> str:
    """Return a Markdown table: one line per run, and one per file with mean and standard deviation over its seeds."""
    lines = [
        "| experiment | seed | test accuracy (95 %) | balanced | macro F1 | log loss | ECE | val | epochs | training s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row.experiment for row in rows):
        own = [row for row in rows if row.experiment == name]
        lines += [line(row) for row in own]
        if len(own) > 1:
            values = [100 * row.scores["accuracy"][0] for row in own]
            summary = f"**{statistics.mean(values):.1f}** ± {statistics.stdev(values):.1f}"
            lines.append(f"| {name} | mean | {summary} | | | | | | | |")
    return "\n".join(lines)


def line(row: Row) -> str:
    """Return the line of a run."""
    value, low, high = (100 * v for v in row.scores["accuracy"])
    percent = [f"{100 * row.scores[metric][0]:.1f}" for metric in ("balanced_accuracy", "macro_f1")]
    loss, ece = row.scores["log_loss"][0], 100 * row.scores["ece"][0]
    cells = [
        row.experiment,
        str(row.seed),
        f"{value:.1f} ({low:.1f} to {high:.1f})",
        *percent,
        f"{loss:.3f}",
        f"{ece:.1f}",
    ]
    return "| " + " | ".join([*cells, f"{100 * row.validation:.1f}", str(row.epochs), f"{row.seconds:.0f}"]) + " |"


def main() -> None:
    """Train, evaluate, print, and append to the file in `--append`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=value")
    parser.add_argument("--storage", default="runs/accuracy")
    parser.add_argument("--append", type=Path, help="also append the table to this file")
    given = parser.parse_args()
    rows = [measured(file, seed, given.overrides, given.storage) for file in given.files for seed in given.seeds]
    text = table(rows)
    print(text)
    if given.append:
        with given.append.open("a", encoding="utf-8") as log:
            log.write(f"\n{time.strftime('%Y-%m-%d')}, {' '.join(given.overrides) or 'as shipped'}:\n\n{text}\n")


if __name__ == "__main__":
    main()
