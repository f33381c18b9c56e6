"""Measure what ranking, leaving out and a robust loss bring where labels are wrong, on real photos with planted errors.

    python -m experiments.bench.label_noise PHOTOS MODEL=FILE [MODEL=FILE ...] [--seeds 3]

`PHOTOS` has train/, val/ and test/ with class folders; the networks are pretrained ones. A part of the training labels is
changed: at random, or to the class that the image's own is most often confused with. Ranking is that of `labels.noise` and
`raytl labels`. Accuracy is that of a linear classifier of the first network's frozen features on the test split, whose L2
penalty is chosen on validation. The output is Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.events import ignore
from raytl.labelling.copies import photo_groups
from raytl.labelling.doubtful import doubts, spared
from raytl.metrics.suspects import pooled
from raytl.models.left_out import left_out_in_parts
from raytl.store.s3_settings import S3Settings
from raytl.tasks.cached_features import cached_features
from raytl.tasks.classification.loss import Loss
from raytl.tasks.registry import task_named
from raytl.training.dataset import read_dataset

Ints = NDArray[np.int64]
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
NOISE = (("random", 0.1), ("random", 0.2), ("pairs", 0.1), ("pairs", 0.2))
RESAMPLES = 2000
COLUMNS = ("as is", "flagged left out", "GCE", "wrong ones left out", "all corrected")


@dataclass(frozen=True, eq=False)
class Data:
    """The photos of each split, their classes as indices of `classes`, and the features of each network by split."""

    samples: dict[str, list[Sample]]
    targets: dict[str, Ints]
    classes: tuple[str, ...]
    features: list[dict[str, Tensor]]
    groups: Ints


def read(photos: Path, networks: Sequence[str]) -> Data:
    """Return the photos with the frozen features of each network."""
    features: list[dict[str, Tensor]] = []
    for text in networks:
        model, _, weights = text.partition("=")
        experiment = Experiment(
            name="noise", data=str(photos), model={"name": model, "weights": weights}, compute={"device": "cpu"}
        )
        task, s3 = task_named(experiment.task), S3Settings.of(experiment.storage)
        preprocess = task.preprocess(experiment.model, s3)
        dataset = read_dataset(experiment.data, preprocess, ignore, s3, experiment.annotations, task)
        solver, classes = task.head_solver, dataset.splits.classes
        assert solver is not None and solver.targets_of is not None
        samples = {split: list(dataset.samples.of_split(split)) for split in ("train", "val", "test")}
        backbone = task.build(experiment.model, classes, s3).reading(dataset.depth.depth)
        features.append(
            {split: cached_features(experiment, solver, backbone, own, ignore) for split, own in samples.items()}
        )
        targets = {split: np.asarray(solver.targets_of(own, classes)) for split, own in samples.items()}
    groups = photo_groups(experiment, samples["train"], dataset.depth.depth, ignore)
    return Data(samples, targets, classes, features, groups)


def planted(truth: Ints, kind: str, rate: float, confused: Ints, seed: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the given labels, a fraction `rate` of them wrong, and which these are."""
    draw, classes = np.random.default_rng(seed), int(truth.max()) + 1
    wrong = np.zeros(len(truth), np.bool_)
    wrong[draw.permutation(len(truth))[: round(rate * len(truth))]] = True
    other = (truth + draw.integers(1, classes, len(truth))) % classes if kind == "random" else confused[truth]
    return np.where(wrong, other, truth), wrong


def confused_with(data: Data) -> Ints:
    """Return the class that each class is most often taken for, `(classes,)`."""
    truth, count = data.targets["train"], len(data.classes)
    table = left_out_in_parts(data.features[0]["train"], truth, count, lambda places: data.groups[places], 0)
    mass = np.stack([table[truth == each].mean(axis=0) for each in range(count)])
    np.fill_diagonal(mass, -1)
    return np.asarray(mass.argmax(axis=1))


def average_precision(score: NDArray[np.float64], wrong: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the average precision of a ranking, and the precision of its first 100."""
    hits = wrong[np.argsort(score, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()), float(hits[:100].mean())


def correct(data: Data, targets: Ints, keep: NDArray[np.bool_], q: float | None = None) -> NDArray[np.bool_]:
    """Return which test images a linear classifier has right that learned the kept training images."""
    own = data.features[0]
    mean, scale = own["train"].mean(0), own["train"].std(0).clamp_min(1e-6)
    inputs = {split: (values - mean) / scale for split, values in own.items()}
    wanted = torch.from_numpy(targets[keep])
    best: tuple[float, Any] = (-1.0, None)
    for penalty in PENALTIES:
        answer = _fitted(inputs["train"][torch.from_numpy(keep)], wanted, len(data.classes), penalty, q)
        score = float((answer(inputs["val"]) == data.targets["val"]).mean())
        best = max(best, (score, answer), key=lambda each: each[0])
    return np.asarray(best[1](inputs["test"]) == data.targets["test"])


def _fitted(inputs: Tensor, targets: Tensor, classes: int, penalty: float, q: float | None) -> Any:
    weight = torch.zeros(inputs.shape[1], classes, requires_grad=True)
    bias, loss = torch.zeros(classes, requires_grad=True), Loss(None, 0.0, None, q)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = loss(inputs @ weight + bias, targets).mean() + penalty * weight.square().sum()
        total.backward()
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return lambda values: (values @ weight + bias).argmax(1).numpy()


def interval(gain: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a mean gain over test images, by a bootstrap."""
    draws = np.random.default_rng(0).integers(0, len(gain), (RESAMPLES, len(gain)))
    low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975]).tolist()
    return low, high


def ranking_row(data: Data, kind: str, rate: float, confused: Ints, seeds: int) -> str:
    """Return a row of the table of rankings: the mean over seeds, the lowest in brackets."""
    cells: list[list[float]] = [[], [], [], []]
    count = len(data.classes)
    for seed in range(seeds):
        given, wrong = planted(data.targets["train"], kind, rate, confused, seed)
        tables = [
            left_out_in_parts(own["train"], given, count, lambda places: data.groups[places], 0)
            for own in data.features
        ]
        rows = np.arange(len(given))
        for place, table in enumerate((tables[0], pooled(tables))):
            found = average_precision(table[rows, given], wrong)
            cells[2 * place].append(found[0])
            cells[2 * place + 1].append(found[1])
    texts = [f"{np.mean(each):.2f} ({min(each):.2f})" for each in cells]
    return f"| {100 * rate:.0f} % {kind} | {' | '.join(texts)} |"


def accuracy_rows(data: Data, kind: str, rate: float, confused: Ints, seeds: int) -> tuple[str, str]:
    """Return a row of test accuracies, and one of what was left out and how sure the gain is."""
    every: list[list[NDArray[np.bool_]]] = []
    precision, listed, seconds = [], [], []
    truth, keep_all = data.targets["train"], np.ones(len(data.targets["train"]), np.bool_)
    for seed in range(seeds):
        given, wrong = planted(truth, kind, rate, confused, seed)
        began = time.monotonic()
        tables = [own["train"] for own in data.features]
        found = doubts(tables, data.samples["train"], given, data.classes, data.groups, seed)
        seconds.append(time.monotonic() - began)
        out = {each.key for each in spared(found.listed, given, data.classes)}
        keep = np.array([sample.key not in out for sample in data.samples["train"]])
        listed.append(len(found.listed))
        precision.append(float(wrong[~keep].mean()))
        every.append(
            [
                correct(data, given, keep_all),
                correct(data, given, keep),
                correct(data, given, keep_all, q=0.7),
                correct(data, given, ~wrong),
                correct(data, truth, keep_all),
            ]
        )
    means = np.array([[each.mean() for each in row] for row in every]).mean(axis=0)
    gain = np.mean([row[1].astype(float) - row[0].astype(float) for row in every], axis=0)
    low, high = interval(gain)
    share = (means[1] - means[0]) / max(means[4] - means[0], 1e-9)
    name = f"{100 * rate:.0f} % {kind}"
    scores = " | ".join(f"{100 * mean:.1f}" for mean in means)
    return (
        f"| {name} | {scores} | {100 * share:.0f} % |",
        f"| {name} | {np.mean(listed):.0f} | {100 * np.mean(precision):.0f} % | {100 * gain.mean():+.1f} ({100 * low:+.1f} to "
        f"{100 * high:+.1f}) | {np.mean(seconds):.0f} |",
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("networks", nargs="+", metavar="MODEL=FILE")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = read(options.photos, options.networks)
    confused, names = confused_with(data), [text.partition("=")[0] for text in options.networks]
    pairs = ", ".join(f"{data.classes[each]} as {data.classes[other]}" for each, other in enumerate(confused.tolist()))
    print(f"{len(data.samples['train'])} training images; {options.seeds} seeds; pairs: {pairs}\n")
    print(
        f"| wrong labels | AP, {names[0]} | first 100 | AP, with {' and '.join(names[1:])} | first 100 |\n|---|---|---|---|---|"
    )
    for kind, rate in NOISE:
        print(ranking_row(data, kind, rate, confused, options.seeds), flush=True)
    rows = [accuracy_rows(data, kind, rate, confused, options.seeds) for kind, rate in (("random", 0.0), *NOISE)]
    print(f"\n| wrong labels | {' | '.join(COLUMNS)} | part of the gap |\n|---|{'---|' * 6}")
    print("\n".join(row for row, _ in rows))
    print(
        "\n| wrong labels | listed | wrong among those left out | gain in points (95 %) | ranking, s |\n|---|---|---|---|---|"
    )
    print("\n".join(row for _, row in rows))


if __name__ == "__main__":
    main()
