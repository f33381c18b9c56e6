"""Measure what a self-supervised warm-up gives with few labels: accuracy on the test split, against the same training without.

    python -m experiments.bench.warmup run ASSETS --out warmup.jsonl
    python -m experiments.bench.warmup table warmup.jsonl

Each line of the output is one run. A run that is in the output already is not repeated. TrashNet with few labels a class; the rest
of its training split is the pool of images without labels. MobileNetV2 at 96 px, two stages, a head solved on the features that
training starts from: after a warm-up, on the warmed ones. All methods of a seed have the same images, so their gains are paired.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import raytl
from experiments.bench.sources import BATCH, BUDGETS, PX, SETS, STEPS, WEIGHTS, accuracy, laid_out

SET = "trash"
METHODS = ("none", "simclr", "supcon")
SETTINGS = ("set", "budget", "method", "seed", "epochs", "pool")
"""The keys of a run; the others of a line are its results."""


def runs(seeds: Sequence[int], epochs: int, pool: int) -> Iterator[dict[str, Any]]:
    """Yield the settings of each run; all methods of a seed follow each other."""
    for seed in seeds:
        for budget in BUDGETS:
            for method in METHODS:
                settings = {"epochs": epochs, "pool": pool} if method != "none" else {"epochs": 0, "pool": pool}
                yield {"set": SET, "budget": budget, "method": method, "seed": seed, **settings}


def measured(run: dict[str, Any], assets: Path, folder: Path) -> dict[str, Any]:
    """Train one run and return its settings with the accuracy on the test split and the seconds of training."""
    counted = laid_out({**run, "kind": "warmup"}, assets / SETS[run["set"]], folder, run["pool"])
    is_warm = run["method"] != "none"
    unlabelled = {"unlabelled": str(folder / "pool")} if is_warm else {}
    experiment = raytl.Experiment(
        name=f"bench-{run['method']}",
        data={"uri": str(folder / "data"), **unlabelled},
        model={
            "name": "mobilenetv2_100",
            "weights": str(assets / WEIGHTS),
            "preprocess": {"image_px": PX},
            "batch_norm": "frozen",  # as `recipe: auto` chooses for few images
        },
        recipe="none",
        transfer={"unfreeze": 2, "head_start": "solved", "head_first": 0, "fallback": "off"},
        train={
            "epochs": max(1, round(STEPS / -(-counted // BATCH))),
            "batch_size": BATCH,
            "early_stop": 0,
            "seed": run["seed"],
            "precision": "fp32",
        },
        warmup={"method": run["method"], **({"epochs": run["epochs"]} if is_warm else {})},
        compute={"cluster": "none", "device": "cpu"},
        storage={"uri": str(folder / "runs")},
    )
    began = time.process_time()
    trained = raytl.train(experiment, progress=False)
    seconds = time.process_time() - began
    return {**run, "accuracy": accuracy(trained.evaluate(progress=False)), "seconds": round(seconds, 1)}


def table(lines: list[dict[str, Any]]) -> str:
    """Return the accuracy of each method over the seeds, and its gain over none on the same images, as a Markdown table."""
    groups: dict[tuple[str, int, str, int], dict[int, dict[str, Any]]] = defaultdict(dict)
    for line in lines:
        groups[line["set"], line["budget"], line["method"], line["epochs"]][line["seed"]] = line
    rows = [
        "| set | labels a class | warm-up | test accuracy % (each seed) | gain over none (lowest to highest) | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for (name, budget, method, epochs), members in sorted(groups.items(), key=lambda group: group[0][:2]):
        base = groups[name, budget, "none", 0]
        each = {seed: 100 * member["accuracy"] for seed, member in sorted(members.items())}
        gains = [
            value - 100 * base[seed]["accuracy"] for seed, value in each.items() if method != "none" and seed in base
        ]
        seconds = statistics.mean(member["seconds"] for member in members.values())
        text = ", ".join(f"{value:.1f}" for value in each.values())
        gain = f"{statistics.mean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f})" if gains else ""
        label = f"{method}, {epochs} epochs" if method != "none" else method
        rows.append(
            f"| {name} | {budget} | {label} | {statistics.mean(each.values()):.1f} ({text}) | {gain} | {seconds:.0f} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Run the benchmark, or print the table of its output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("run", "table"))
    parser.add_argument("path", type=Path, help="the folder of weights and sets, or the output of a run")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5, help="of each warm-up")
    parser.add_argument("--pool", type=int, default=2000, help="images without labels, at most")
    given = parser.parse_args()
    if given.kind == "table":
        print(table([json.loads(line) for line in given.path.read_text().splitlines()]))
        return
    if given.out is None:
        parser.error("--out is missing; expected a .jsonl file for the results")
    done = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    complete = [{key: line[key] for key in SETTINGS} for line in done]
    for run in runs(range(given.seeds), given.epochs, given.pool):
        if run not in complete:
            with tempfile.TemporaryDirectory() as folder, given.out.open("a") as out:
                out.write(json.dumps(measured(run, given.path, Path(folder))) + "\n")


if __name__ == "__main__":
    main()
