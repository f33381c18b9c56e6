"""Compare Dawid and Skene's combination of several noisy labels with the majority and the best source, as Markdown.

    python -m experiments.bench.weak_labels ../shared/assets --sets trashnet_256 sign_digits_100

The sources are drawn: each one names the true class of a training photo with its own accuracy, else another class. The combined
labels are scored against the true ones, where ties of a method count as wrong; a ridge classifier on the frozen features of
MobileNetV2 learns from them, without ties, and the test split scores it. Some photos (`--known` of each class) have a true label.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.bench.few_labels import Split, accuracy, splits_of
from experiments.bench.sources import interval
from raytl.metrics.confusion import Ints
from raytl.metrics.votes import MISSING, combined, fitted_sources

MODEL, WEIGHTS = "mobilenetv2_100", "mobilenetv2_100_tv.safetensors"
METHODS = ("majority", "Dawid-Skene", "best source", "true labels")


@dataclass(frozen=True)
class Case:
    """The accuracy of each source, which one copies another, how often a vote is missing, and whether errors have a pattern."""

    accuracies: tuple[float, ...]
    copies: Mapping[int, int]
    missing: float = 0.0
    is_patterned: bool = False
    """True if a source takes each class for one other class alone, as people do with classes that look alike."""


CASES: Mapping[str, Case] = {
    "three alike, 70 %": Case((0.7, 0.7, 0.7), {}),
    "90, 60 and 60 %": Case((0.9, 0.6, 0.6), {}),
    "three alike, 45 %": Case((0.45, 0.45, 0.45), {}),
    "five, 50 to 80 %, half of the votes": Case((0.8, 0.7, 0.6, 0.6, 0.5), {}, missing=0.5),
    "80, 60 and 60 %, each class for one other": Case((0.8, 0.6, 0.6), {}, is_patterned=True),
    "80 % and two copies of one of 60 %": Case((0.8, 0.6, 0.6), {2: 1}),
}


def votes_of(truth: Ints, case: Case, draw: np.random.Generator) -> Ints:
    """Return the classes that the sources name, `(n, sources)`; -1 where one names none."""
    classes, columns = int(truth.max()) + 1, list[Ints]()
    for place, correct in enumerate(case.accuracies):
        shift = (
            draw.integers(1, classes, classes)[truth] if case.is_patterned else draw.integers(1, classes, len(truth))
        )
        named = np.where(draw.random(len(truth)) < correct, truth, (truth + shift) % classes)
        named[draw.random(len(truth)) < case.missing] = MISSING
        columns.append(columns[case.copies[place]] if place in case.copies else named)
    return np.stack(columns, axis=1)


def majority(votes: Ints, classes: int) -> Ints:
    """Return the class with the most votes, `(n,)`; -1 where two have as many, or none has any."""
    counts = np.stack([(votes == each).sum(axis=1) for each in range(classes)], axis=1)
    return np.where((counts == counts.max(axis=1, keepdims=True)).sum(axis=1) == 1, counts.argmax(axis=1), MISSING)


@dataclass(frozen=True)
class Scores:
    """In percent: how many combined labels are right, the test accuracy of a classifier that learned them; and the largest
    error of an estimated accuracy of a source, in points, with the seconds of the estimate."""

    right: Mapping[str, float]
    test: Mapping[str, float]
    error: float
    seconds: float


def scored(splits: Mapping[str, Split], case: Case, known: int, seed: int) -> Scores:
    """Return the scores of one draw of votes."""
    train, draw = splits["train"], np.random.default_rng(seed)
    truth, classes = train.classes, int(train.classes.max()) + 1
    votes, order = votes_of(truth, case, draw), draw.permutation(len(truth))
    truths = np.full(len(truth), MISSING)
    for each in range(classes):
        rows = order[truth[order] == each][:known]
        truths[rows] = truth[rows]
    started = time.perf_counter()
    sources = fitted_sources(votes, classes, truths)
    skene = combined(sources.posteriors(votes), votes)
    seconds = time.perf_counter() - started
    given = votes != MISSING
    own = ((votes == truth[:, None]) & given).sum(axis=0) / given.sum(axis=0)
    labels = dict(zip(METHODS, (majority(votes, classes), skene, votes[:, own.argmax()], truth), strict=True))
    labels = {name: np.where(truths == MISSING, each, truths) for name, each in labels.items()}
    return Scores(
        {name: 100 * float((each == truth)[truths == MISSING].mean()) for name, each in labels.items()},
        {
            name: accuracy(_labelled(train, each), splits["test"], int((each != MISSING).sum()))
            for name, each in labels.items()
        },
        100 * float(np.abs(sources.accuracies - own).max()),
        seconds,
    )


def _labelled(train: Split, labels: Ints) -> Split:
    rows = np.flatnonzero(labels != MISSING)
    return Split(train.features[rows], labels[rows])


def row(name: str, draws: Sequence[Scores]) -> str:
    """Return a row of the table: means over the draws, and the gain of Dawid-Skene over the majority with its t-interval."""
    right = [f"{np.mean([each.right[method] for each in draws]):.1f}" for method in METHODS[:3]]
    test = [f"{np.mean([each.test[method] for each in draws]):.1f}" for method in METHODS]
    gain = interval([each.test["Dawid-Skene"] - each.test["majority"] for each in draws])
    error, seconds = np.mean([[each.error, each.seconds] for each in draws], axis=0)
    return f"| {name} | {' / '.join(right)} | {' | '.join(test)} | {gain} | {error:.1f} | {seconds:.2f} |"


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--sets", nargs="+", default=["trashnet_256", "sign_digits_100"])
    parser.add_argument("--known", type=int, default=5, help="photos of each class with a true label")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    for name in given.sets:
        network = {"name": MODEL, "weights": str(given.assets / "weights" / WEIGHTS)}
        splits = splits_of(given.assets / "datasets" / name, network)
        print(f"\n{name}, {len(splits['train'].classes)} training photos, {given.seeds} draws\n")
        print(
            f"| sources | right labels % ({' / '.join(METHODS[:3])}) | {' | '.join(METHODS)} | gain | error of an accuracy | s |"
        )
        print("|---|---|" + "---|" * (len(METHODS) + 3))
        for title, case in CASES.items():
            print(row(title, [scored(splits, case, given.known, seed) for seed in range(given.seeds)]), flush=True)


if __name__ == "__main__":
    main()
