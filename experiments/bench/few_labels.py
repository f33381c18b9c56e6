"""Compare the methods of `few.method` with none, at few labels a class, as Markdown tables.

    python -m experiments.bench.few_labels ../shared/assets --sets trashnet_256 sign_digits_100
    python -m experiments.bench.few_labels ../shared/assets --model vit_tiny_patch16_224=vit_tiny_patch16_224.safetensors

The network is frozen: each method labels the rest of the training images from the labelled ones, a ridge classifier learns
from both, and the test split scores it. The second table counts what `auto` chooses where nothing can be gained:
unlabelled images of another set, of one class, and with most images labelled.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.config.schema import Experiment
from raytl.data.audit import audit
from raytl.data.formats import scan
from raytl.events import ignore
from raytl.labelling.choose import Chosen, Labelled, choose, given_labels
from raytl.labelling.pseudo import fitted
from raytl.metrics.confusion import Ints
from raytl.store.s3_settings import S3Settings
from raytl.tasks.cached_features import cached_features
from raytl.tasks.registry import task_named

LABELS, SHARE = (4, 10, 25), 0.8
METHODS = ("none", "propagate", "pseudo", "auto")
PLANTED, PLANTED_SEEDS = ("another set", "one class", "most labelled"), 10


@dataclass(frozen=True)
class Split:
    """Frozen features `(n, d)` and classes `(n,)`."""

    features: NDArray[np.float32]
    classes: Ints

    def take(self, rows: Ints) -> Split:
        """Return these images."""
        return Split(self.features[rows], self.classes[rows])

    @property
    def labelled(self) -> Labelled:
        """Return the images as methods take them."""
        return Labelled(self.features, self.classes)


def splits_of(folder: Path, model: Mapping[str, str]) -> dict[str, Split]:
    """Return the frozen features of the images of a set, by split, from the node's cache."""
    experiment = Experiment(name="few", data=str(folder), model=model)
    task, s3 = task_named("classification"), S3Settings.of(experiment.storage)
    manifest = scan(experiment.data.uri)
    backbone = task.build(experiment.model, manifest.classes, s3)
    samples = audit(manifest, experiment.data, backbone.preprocess).samples
    solver = task.head_solver
    assert solver is not None and solver.targets_of is not None, "classification has both"
    parts = {name: samples.of_split(name) for name in ("train", "val", "test")}
    return {
        name: Split(
            cached_features(experiment, solver, backbone, part, ignore).numpy(),
            solver.targets_of(part, manifest.classes),
        )
        for name, part in parts.items()
    }


def drawn(classes: Ints, each: int, seed: int) -> tuple[Ints, Ints]:
    """Return the rows of `each` images of each class, drawn at random, and all others."""
    order = np.random.default_rng(seed).permutation(len(classes))
    chosen = np.concatenate([order[classes[order] == name][:each] for name in np.unique(classes)])
    return chosen, np.setdiff1d(order, chosen)


def accuracy(train: Split, test: Split, certain: int) -> float:
    """Return the accuracy on `test` of a ridge classifier of `train`, whose first `certain` labels are true, in percent."""
    count = int(test.classes.max()) + 1
    classifier, _ = fitted(train.features, train.classes, count, certain)
    answers = classifier(torch.from_numpy(test.features).double()).argmax(axis=1)
    return 100 * float((answers == test.classes).mean())


def scored(splits: dict[str, Split], each: int, seed: int) -> Iterator[tuple[str, float, float, str]]:
    """Yield each method with the accuracy that it gives, the seconds that it took, and what `auto` chose."""
    train, count = splits["train"], int(splits["train"].classes.max()) + 1
    known, rest = drawn(train.classes, each, seed)
    labelled, others = train.take(known), train.features[rest]
    for method in METHODS:
        started, chosen = time.perf_counter(), method
        if method == "auto":
            chosen = choose(labelled.labelled, splits["val"].labelled, others, count, SHARE, seed=seed).method
        learn = labelled
        if chosen != "none":
            given = given_labels(chosen, labelled.labelled, others, count, SHARE)
            learn = Split(
                np.concatenate([labelled.features, others[given.rows]]),
                np.concatenate([labelled.classes, given.classes]),
            )
        seconds = time.perf_counter() - started
        yield method, accuracy(learn, splits["test"], len(known)), seconds, chosen


def planted(splits: dict[str, Split], other: dict[str, Split], case: str, seed: int) -> Chosen:
    """Return what `auto` chooses in a case in which nothing can be gained."""
    train, count = splits["train"], int(splits["train"].classes.max()) + 1
    each = 100 if case == "most labelled" else 10
    known, rest = drawn(train.classes, each, seed)
    others = train.features[rest]
    if case == "another set":
        others = other["train"].features
    if case == "one class":
        others = others[train.classes[rest] == seed % count]
    return choose(train.take(known).labelled, splits["val"].labelled, others, count, SHARE, seed=seed)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--sets", nargs="+", default=["trashnet_256", "sign_digits_100"])
    parser.add_argument("--model", metavar="NAME=FILE", default="mobilenetv2_100=mobilenetv2_100_tv.safetensors")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the labelled images")
    given = parser.parse_args()
    model, _, weights = given.model.partition("=")
    network = {"name": model, "weights": str(given.assets / "weights" / weights)}
    sets = {name: splits_of(given.assets / "datasets" / name, network) for name in given.sets}
    print("| set, labels a class | none | propagate | pseudo | auto (chosen) | seconds |\n|---|---|---|---|---|---|")
    for name, splits in sets.items():
        for each in LABELS:
            rows = [list(scored(splits, each, seed)) for seed in range(given.seeds)]
            cells = []
            for place in range(len(METHODS)):
                values = [row[place][1] for row in rows]
                cells.append(f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}")
            chosen = ", ".join(row[-1][3] for row in rows)
            seconds = " / ".join(f"{np.mean([row[place][2] for row in rows]):.1f}" for place in (1, 2, 3))
            print(f"| {name}, {each} | {' | '.join(cells)} ({chosen}) | {seconds} |", flush=True)
    print("\n| set, case | none chosen | others |\n|---|---|---|")
    for name, splits in sets.items():
        other = next((each for key, each in sets.items() if key != name), splits)
        for case in PLANTED:
            chosen = [planted(splits, other, case, seed).method for seed in range(PLANTED_SEEDS)]
            others = ", ".join(each for each in chosen if each != "none") or "-"
            print(f"| {name}, {case} | {chosen.count('none')} of {PLANTED_SEEDS} | {others} |", flush=True)


if __name__ == "__main__":
    main()
