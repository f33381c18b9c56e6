"""Simulate the false-positive rate and the power of the gate, on equal models and on better models.

    python -m experiments.gate [--sequences 40]

The models are simulated: each image has a difficulty that all models share, so that two models err mostly on the same images,
like two trainings on the same data (with two equal models at 85 %, about 8 % of the images are correct for one only).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import binom, norm

from raytl.config.retrain import GateConfig
from raytl.metrics.paired import Paired, mcnemar, paired
from raytl.retraining.gate import Comparison, Promote, Reject, judge
from raytl.tasks.classification.comparison import slices_of
from raytl.tasks.reporting import Slice

CLASSES = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
SHARES = np.array([0.16, 0.2, 0.16, 0.23, 0.19, 0.06])
TICKS = 50
SHARED = 0.95
"""Correlation of the luck of two models on one image."""
RESAMPLES = 999
Floats = NDArray[np.float64]


@dataclass
class World:
    """An evaluation set of `images` photos, and models with independent luck."""

    images: int
    draw: np.random.Generator

    def __post_init__(self) -> None:
        self.targets = self.draw.choice(len(CLASSES), self.images, p=SHARES)
        self.difficulty = self.draw.normal(size=self.images)

    def model(self, accuracy: float) -> Floats:
        """Return the probabilities of a model with that population accuracy."""
        luck = np.sqrt(SHARED) * self.difficulty + np.sqrt(1 - SHARED) * self.draw.normal(size=self.images)
        correct = luck < norm.ppf(accuracy)
        other = (self.targets + self.draw.integers(1, len(CLASSES), self.images)) % len(CLASSES)
        predicted = np.where(correct, self.targets, other)
        return np.asarray(0.02 + 0.88 * np.eye(len(CLASSES))[predicted])

    def promotes(self, champion: Floats, challenger: Floats, gate: GateConfig) -> bool:
        """Return True if the gate promotes the challenger, as in a tick."""
        pair = paired(
            self.targets, champion, challenger, gate.metric or "balanced_accuracy", confidence=gate.confidence,
            resamples=RESAMPLES, seed=int(self.draw.integers(2**31)),
        )  # fmt: skip
        slices = slices_of(CLASSES, self.targets, champion, challenger, np.zeros(self.images, dtype=bool))
        return isinstance(judge(simulated(self.images, pair, slices), gate), Promote)


def simulated(images: int, pair: Paired | None, slices: tuple[Slice, ...]) -> Comparison:
    """Return the comparison of simulated models."""
    return Comparison(
        evaluation="simulated", images=images, looks=0, champion=1, challenger=2, same_weights=False, metrics={},
        champion_metrics={}, paired=pair, slices=slices, latency_ms=0.0, champion_latency_ms=0.0, size_bytes=0,
    )  # fmt: skip


@cache
def p_worse(gained: int, lost: int) -> float:
    """Return the p-value of the loss of a class."""
    return mcnemar(gained, lost)[1]


def rejected_by_a_class(sequences: int, classes: int, images: int, gained: float, lost: float) -> float:
    """Return the fraction of challengers that `max_class_drop` rejects; in each class of `images`, an image is correct only
    for the challenger with probability `gained`, and only for the champion with probability `lost`."""
    draw, rejected = np.random.default_rng(0), 0
    for _ in range(sequences):
        counts = draw.multinomial(images, [gained, lost, 0.7, 0.3 - gained - lost], size=classes).tolist()
        slices = tuple(
            Slice(
                str(place),
                images,
                (both + losses) / images,
                (both + gains) / images,
                gains,
                losses,
                p_worse(gains, losses),
            )
            for place, (gains, losses, both, _) in enumerate(counts)
        )
        rejected += isinstance(judge(simulated(classes * images, None, slices), GateConfig()), Reject)
    return rejected / sequences


def null(sequences: int, images: int, gate: GateConfig, replace: bool) -> list[int]:
    """Return the promotions in each sequence of ticks with equal models; with `replace`, a winner becomes the champion on the
    same images."""
    counts = []
    for seed in range(sequences):
        world = World(images, np.random.default_rng(seed))
        champion, promoted = world.model(0.85), 0
        for _ in range(TICKS):
            challenger = world.model(0.85)
            if world.promotes(champion, challenger, gate):
                promoted += 1
                champion = challenger if replace else champion
            if not replace:
                champion = world.model(0.85)
        counts.append(promoted)
    return counts


def power(sequences: int, images: int, gain: float, gate: GateConfig) -> tuple[float, float]:
    """Return the fraction of challengers better by `gain` that are promoted at their first tick, and the median tick of the
    first promotion if each tick has a new challenger (infinite: not within 50)."""
    first = []
    for seed in range(sequences):
        world = World(images, np.random.default_rng(1000 + seed))
        champion = world.model(0.85)
        won = (tick for tick in range(1, TICKS + 1) if world.promotes(champion, world.model(0.85 + gain), gate))
        first.append(next(won, np.inf))
    return float(np.mean(np.array(first) == 1)), float(np.median(first))


def main() -> None:
    """Run the simulation, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=40)
    count = parser.parse_args().sequences
    console = Console(width=110)
    bound = int(binom.ppf(0.975, TICKS, 0.05))
    table = Table(title=f"{TICKS} ticks of equal models: promotions (confidence 0.95, so at most 2.5 on average)")
    for name in ("metric", "images", "champion", "first sequence", "mean", "most", f"above {bound}", "of sequences"):
        table.add_column(name, justify="right")
    for metric in ("accuracy", "balanced_accuracy"):
        gate = GateConfig.model_validate({"metric": metric})
        for images, replace in ((400, False), (400, True), (100, True)):
            counts = null(count, images, gate, replace)
            stays = "the last winner" if replace else "a new one each tick"
            over = sum(value > bound for value in counts)
            table.add_row(
                metric,
                str(images),
                stays,
                str(counts[0]),
                f"{np.mean(counts):.2f}",
                str(max(counts)),
                str(over),
                str(count),
            )
            assert np.mean(counts) <= 0.05 * TICKS, "the gate promotes equal models too often"
    console.print(table)
    table = Table(title="better challengers: promoted at the first tick, and the median tick of the first promotion")
    for name in ("better by", *(f"{images} images" for images in (200, 400, 800, 1600))):
        table.add_column(name, justify="right")
    gate = GateConfig(metric="accuracy")
    for gain in (0.01, 0.02, 0.03, 0.05):
        cells = [power(count, images, gain, gate) for images in (200, 400, 800, 1600)]
        table.add_row(f"{100 * gain:.0f} points", *(f"{100 * once:.0f} %, {median:.0f}" for once, median in cells))
    console.print(table)
    table = Table(title="challengers that the limit of a class rejects, 5 points")
    for name in ("challenger", "images of each class", *(f"{classes} classes" for classes in (5, 20, 100, 1000))):
        table.add_column(name, justify="right")
    for name, gained, lost in (("equal", 0.1, 0.1), ("3 points better in every class", 0.13, 0.1)):
        for images in (30, 50):
            cells = [rejected_by_a_class(5 * count, each, images, gained, lost) for each in (5, 20, 100, 1000)]
            table.add_row(name, str(images), *(f"{100 * each:.1f} %" for each in cells))
    console.print(table)


if __name__ == "__main__":
    main()
