"""A sweep over label methods on shifted photos, beside a training for each fixed choice of the methods.

    python -m experiments.method_sweep PHOTOS WEIGHTS FOLDER [--style cast] [--labels 5] [--image-px 96]

`PHOTOS` has train/, val/ and test/ with class folders, and `WEIGHTS` is a file of mobilenetv2_100. Half of the training photos
are labelled; the other half, in another style (experiments/bench/shifted.py), has no labels and is both the target and
`data.unlabelled`. Validation has `--labels` photos a class of the target; test photos are of the target too, and are looked at
once by each arm, at its end. The output is Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import yaml

import raytl
from experiments.bench.shifted import STYLES, write

FEW, ADAPT = ("none", "propagate", "pseudo"), ("none", "centroids", "adabn_centroids")


def experiment(name: str, folder: Path, weights: Path, image_px: int, few: str, adapt: str) -> dict[str, object]:
    """Return the experiment of a fixed choice; each arm has the same training."""
    target = {} if adapt == "none" else {"target": f"{folder}/target"}
    return {
        "name": name,
        "recipe": "none",
        "data": {"uri": f"{folder}/data", "unlabelled": f"{folder}/target"},
        "few": {"method": few},
        "adapt": {"method": adapt, **target},
        "model": {"name": "mobilenetv2_100", "weights": str(weights), "preprocess": {"image_px": image_px}},
        "transfer": {"unfreeze": 0, "head_start": "solved", "head_first": 0},
        "augment": {"strength": 0},
        "train": {"epochs": 2, "batch_size": 64, "early_stop": 0},
        "compute": {"cluster": "none", "device": "cpu"},
        "storage": {"uri": f"{folder}/runs"},
    }


def load(values: dict[str, object], folder: Path) -> raytl.Experiment:
    """Return the experiment of a file with these values."""
    path = folder / f"{values['name']}.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return raytl.load_experiment(path)


def row(name: str, run: raytl.Run, seconds: float) -> str:
    """Return the row of an arm in the table, after its look at the test photos."""
    val, test = run.metrics["val/balanced_accuracy"], run.evaluate(progress=False).overall["accuracy"]
    interval = f"{100 * test.value:.1f} ({100 * test.low:.1f} to {100 * test.high:.1f})"
    return f"| {name} | {100 * val:.1f} | {interval} | {seconds:.0f} |"


def main() -> None:
    """Train each fixed choice, run the sweep, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--style", choices=sorted(STYLES), default="cast")
    parser.add_argument("--labels", type=int, default=5)
    parser.add_argument("--image-px", type=int, default=96)
    options = parser.parse_args()
    folder, weights = options.folder.resolve(), options.weights.resolve()
    if not folder.exists():
        write(options.photos, folder, options.style, options.labels)
    print(
        "| few.method, adapt.method | val balanced accuracy, % | test accuracy, % | seconds |\n|---|---|---|---|",
        flush=True,
    )
    for few, adapt in itertools.product(FEW, ADAPT):
        name, began = f"{few}-{adapt}", time.monotonic()
        run = raytl.train(load(experiment(name, folder, weights, options.image_px, few, adapt), folder), progress=False)
        print(row(f"{few}, {adapt}", run, time.monotonic() - began), flush=True)
    space = {"adapt.method": {"choice": list(ADAPT)}, "few.method": {"choice": list(FEW)}}
    search = {
        "space": space,
        "trials": 9,
        "sampler": "grid",
        "linear_probe": False,
        "scheduler": "none",
        "recipes": False,
    }
    values = experiment("sweep", folder, weights, options.image_px, "none", "centroids") | {"search": search}
    began = time.monotonic()
    sweep = raytl.tune(load(values, folder), progress=False)
    print(row(f"the sweep's: trial {sweep.winner_number}, {sweep.reason}", sweep.winner, time.monotonic() - began))
    print("\n".join(f"- trial {each['number']}: {each}" for each in sweep.rows))


if __name__ == "__main__":
    main()
