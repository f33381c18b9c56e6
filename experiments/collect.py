"""Compare the images that `raytl collect` chooses with random ones, at the same number of labels, as a Markdown table.

    python -m experiments.collect ../shared/assets/datasets/trashnet_256 --weights ../shared/assets/weights/mobilenetv2_100_tv.safetensors

The pool is the train split and the network is frozen, so a model is a logistic regression on its features. Each seed starts with
the same random labels; then each way chooses the same number in rounds, as its own model answers the rest. The score is the accuracy on the
test split, of images that were never in the pool.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from experiments.simulations.photos import Ints, backbone, features, read
from raytl.feedback.choose import ranked_rows, uncertainty_of
from raytl.metrics.scores import softmax

START, ROUND, ROUNDS, SEEDS = 60, 60, 4, 5
_PENALTY = 1.0
_PX = 112
Floats = NDArray[np.float64]
Choose = Callable[[NDArray[np.float32], Floats, int, NDArray[np.float32], int], list[int]]
"""From features and probabilities of the rest, a count, features of labelled images and a seed to rows of the rest."""


@dataclass(frozen=True, eq=False)
class Split:
    """The features of images and their classes."""

    features: NDArray[np.float32]
    targets: Ints


def at_random(
    rest: NDArray[np.float32], probabilities: Floats, count: int, known: NDArray[np.float32], seed: int
) -> list[int]:
    """Choose at random."""
    return np.random.default_rng(seed).permutation(len(rest))[:count].tolist()  # type: ignore[no-any-return]


def by_uncertainty(
    rest: NDArray[np.float32], probabilities: Floats, count: int, known: NDArray[np.float32], seed: int
) -> list[int]:
    """Choose the least margins."""
    return np.argsort(margins(probabilities), kind="stable")[:count].tolist()  # type: ignore[no-any-return]


def as_collect(
    rest: NDArray[np.float32], probabilities: Floats, count: int, known: NDArray[np.float32], seed: int
) -> list[int]:
    """Choose as `raytl collect` does: 20 % at random, the rest by uncertainty and diversity."""
    drawn = at_random(rest, probabilities, round(0.2 * count), known, seed)
    doubt = uncertainty_of(margins(probabilities)) + 1e-6
    doubt[drawn] = 0.0
    left = count - len(drawn)
    return drawn + ranked_rows(rest, doubt, left, np.concatenate([known, rest[drawn]]), seed)[:left]


def doubtful_only(
    rest: NDArray[np.float32], probabilities: Floats, count: int, known: NDArray[np.float32], seed: int
) -> list[int]:
    """Choose by uncertainty and diversity alone."""
    return ranked_rows(rest, uncertainty_of(margins(probabilities)) + 1e-6, count, known, seed)[:count]


WAYS: dict[str, Choose] = {
    "random": at_random,
    "least margin": by_uncertainty,
    "uncertainty x diversity": doubtful_only,
    "collect (20 % random)": as_collect,
}


def margins(probabilities: Floats) -> Floats:
    """Return the differences of the two highest probabilities, `(n,)`."""
    top = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def curve(pool: Split, test: Split, choose: Choose, seed: int) -> list[float]:
    """Return the accuracy on `test` at the start and after each round."""
    classes = int(max(pool.targets.max(), test.targets.max())) + 1
    labelled = np.random.default_rng(seed).permutation(len(pool.targets))[:START]
    scores = []
    for number in range(ROUNDS + 1):
        predict = fitted(pool.features[labelled], pool.targets[labelled], classes)
        scores.append(float((predict(test.features).argmax(axis=1) == test.targets).mean()))
        rest = np.setdiff1d(np.arange(len(pool.targets)), labelled)
        rows = choose(
            pool.features[rest], predict(pool.features[rest]), ROUND, pool.features[labelled], 100 * seed + number
        )
        labelled = np.concatenate([labelled, rest[rows]])
    return scores


def fitted(table: NDArray[np.float32], targets: Ints, classes: int) -> Callable[[NDArray[np.float32]], Floats]:
    """Return the probabilities of a logistic regression with an L2 penalty on standardized features."""
    mean, scale = table.mean(axis=0), table.std(axis=0) + 1e-6
    inputs, truth = ((table - mean) / scale / np.sqrt(table.shape[1])).astype(np.float64), np.eye(classes)[targets]

    def loss(weights: Floats) -> tuple[float, Floats]:
        matrix = weights.reshape(inputs.shape[1], classes)
        p = softmax(inputs @ matrix)
        nll = -np.log(np.maximum(p[np.arange(len(targets)), targets], 1e-300)).mean()
        penalty = _PENALTY / 1000
        return nll + penalty * float((matrix**2).sum()) / 2, (
            inputs.T @ (p - truth) / len(targets) + penalty * matrix
        ).ravel()

    start = np.zeros(inputs.shape[1] * classes)
    matrix = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x.reshape(-1, classes)
    return lambda other: softmax(((other - mean) / scale / np.sqrt(table.shape[1])) @ matrix)


def table(pool: Split, test: Split, seeds: int = SEEDS) -> Iterator[str]:
    """Yield the lines of the table: mean accuracy of each way by number of labels, and the gain over random labels at the end."""
    curves = {name: np.array([curve(pool, test, way, seed) for seed in range(seeds)]) for name, way in WAYS.items()}
    counts = [START + ROUND * number for number in range(ROUNDS + 1)]
    yield f"| way | {' | '.join(f'{count} labels' for count in counts)} | gain at {counts[-1]}, by seed |"
    yield "|---" * (len(counts) + 2) + "|"
    for name, scores in curves.items():
        gains = 100 * (scores[:, -1] - curves["random"][:, -1])
        cells = " | ".join(f"{100 * value:.1f}" for value in scores.mean(axis=0))
        spread = ", ".join(f"{gain:+.1f}" for gain in gains)
        yield (
            f"| {name} | {cells} | {gains.mean():+.1f} ({spread}) |" if name != "random" else f"| {name} | {cells} | |"
        )


def main() -> None:
    """Print the table for a set of photos in the class folders of train and test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with the class folders of train/ and test/")
    parser.add_argument("--weights", type=Path, required=True, help="pretrained weights of mobilenetv2_100")
    parser.add_argument("--px", type=int, default=_PX, help="side of the photos")
    options = parser.parse_args()
    network = backbone(options.weights, px=options.px)
    splits = []
    for name in ("train", "test"):
        photos = read(options.data / name, name, network.preprocess)
        splits.append(Split(features(network, photos.views).numpy(), photos.targets))
    for line in table(*splits):
        print(line)


if __name__ == "__main__":
    main()
