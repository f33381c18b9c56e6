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
from raytl.metrics.suspects import pooled, suspects
from raytl.models.left_out import left_out_in_parts
from raytl.store.s3_settings import S3Settings
from raytl.tasks.cached_features import cached_features
from raytl.tasks.classification.loss import Loss
from raytl.tasks.registry import task_named
from raytl.training.dataset import read_dataset

Ints = NDArray[np.int64]
PENALTIES = (1e-3, 1e-2, 1e-1)
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
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

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


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one draw of wrong labels gives: the ranking with one and with all networks, and which test images are right."""

    rankings: tuple[tuple[float, float], ...]
    listed: int
    precision: float
    seconds: float
    correct: NDArray[np.bool_]
    """`(methods, test images)`, in the order of `COLUMNS`."""


def drawn(data: Data, kind: str, rate: float, confused: Ints, seed: int) -> Drawn:
    """Return what the methods do with one draw of wrong labels."""
    truth, count = data.targets["train"], len(data.classes)
    given, wrong = planted(truth, kind, rate, confused, seed)
    began, rows = time.monotonic(), np.arange(len(given))
    tables = [
        left_out_in_parts(own["train"], given, count, lambda places: data.groups[places], 0) for own in data.features
    ]
    both = pooled(tables)
    found = suspects(given, both)
    seconds = time.monotonic() - began
    keep, every = np.ones(len(given), np.bool_), np.ones(len(given), np.bool_)
    keep[[each.place for each in found]] = False
    scores = [
        correct(data, given, every),
        correct(data, given, keep),
        correct(data, given, every, q=0.7),
        correct(data, given, ~wrong),
        correct(data, truth, every),
    ]
    precision = float(wrong[~keep].mean()) if len(found) else 0.0
    rankings = tuple(average_precision(table[rows, given], wrong) for table in (tables[0], both)) if rate else ()
    return Drawn(rankings, len(found), precision, seconds, np.stack(scores))


def ranking_row(name: str, draws: Sequence[Drawn]) -> str:
    """Return a row of the table of rankings: the mean over the draws, the lowest in brackets."""
    values = np.array([each.rankings for each in draws]).reshape(len(draws), -1)
    texts = [f"{column.mean():.2f} ({column.min():.2f})" for column in values.T]
    return f"| {name} | {' | '.join(texts)} |"


def accuracy_row(name: str, draws: Sequence[Drawn]) -> str:
    """Return a row of test accuracies, and the part of the gap between as is and all corrected that leaving out recovers."""
    means = np.mean([each.correct.mean(axis=1) for each in draws], axis=0)
    gap = means[4] - means[0]
    share = f"{100 * (means[1] - means[0]) / gap:.0f} %" if gap > 0 else "–"
    return f"| {name} | {' | '.join(f'{100 * mean:.1f}' for mean in means)} | {share} |"


def listing_row(name: str, draws: Sequence[Drawn]) -> str:
    """Return a row of what was left out, how many of these were wrong, and what that gains."""
    gain = np.mean([each.correct[1].astype(float) - each.correct[0] for each in draws], axis=0)
    low, high = interval(gain)
    cells = (
        f"{np.mean([each.listed for each in draws]):.0f}",
        f"{100 * np.mean([each.precision for each in draws]):.0f} %",
        f"{100 * gain.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})",
        f"{np.mean([each.seconds for each in draws]):.0f}",
    )
    return f"| {name} | {' | '.join(cells)} |"


def report(data: Data, names: Sequence[str], seeds: int) -> None:
    """Print the tables."""
    confused = confused_with(data)
    pairs = ", ".join(f"{data.classes[each]} as {data.classes[other]}" for each, other in enumerate(confused.tolist()))
    print(f"{len(data.samples['train'])} training images; {seeds} seeds; pairs: {pairs}\n")
    results = {}
    for kind, rate in (("random", 0.0), *NOISE):
        name = f"{100 * rate:.0f} % {kind}" if rate else "none"
        results[name] = [drawn(data, kind, rate, confused, seed) for seed in range(seeds if rate else 1)]
        every = [ranking_row, accuracy_row, listing_row] if rate else [accuracy_row, listing_row]
        print(" ".join(row(name, results[name]) for row in every), flush=True)
    noisy = {name: draws for name, draws in results.items() if draws[0].rankings}
    print(
        f"\n| wrong labels | AP, {names[0]} | first 100 | AP, with {' and '.join(names[1:])} | first 100 |\n|---|---|---|---|---|"
    )
    print("\n".join(ranking_row(*each) for each in noisy.items()))
    print(f"\n| wrong labels | {' | '.join(COLUMNS)} | part of the gap |\n|---|{'---|' * 6}")
    print("\n".join(accuracy_row(*each) for each in results.items()))
    print(
        "\n| wrong labels | listed | wrong among those left out | gain in points (95 %) | ranking, s |\n|---|---|---|---|---|"
    )
    print("\n".join(listing_row(*each) for each in results.items()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("networks", nargs="+", metavar="MODEL=FILE")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    names = [text.partition("=")[0] for text in options.networks]
    report(read(options.photos, options.networks), names, options.seeds)


if __name__ == "__main__":
    main()
