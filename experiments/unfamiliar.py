"""Measure whether the distance to the training images tells images that a model never learned, as Markdown tables.

    python -m experiments.defaults.bench data/defaults --keep runs/defaults --out runs/rows.jsonl
    python -m experiments.unfamiliar data/defaults runs/defaults/*-20-0-mobilenetv2_100-raytl --left-out 1 --weights FILE

far    test images of every other set, for the model of each run
near   each class in turn, that the reference lacks, as in `raytl report`; and with `--left-out` the first classes of each set,
       without which a model is trained again, at 64 px

The limit is the distance that 5 % of the validation images exceed. Beside it: one minus the highest probability.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import raytl
from experiments.simulations.photos import Photos, features, read
from raytl.assessment.unfamiliar import ALPHA
from raytl.metrics.conformal import set_cut
from raytl.metrics.scores import softmax
from raytl.metrics.unfamiliar import auroc, knn_distance, neighbors
from raytl.models.backbone import Backbone
from raytl.models.probe import head_layer
from raytl.tasks.saved import load_saved

SPLITS = ("train", "val", "test")
_PX, _FAR_IMAGES = 64, 200


@dataclass(frozen=True)
class Detection:
    """How well a score tells unfamiliar images from familiar ones of test: its AUROC, and which fractions of both it flags."""

    auroc: float
    flagged: float
    false: float

    @property
    def text(self) -> str:
        """The three numbers."""
        return f"{self.auroc:.3f}, {100 * self.flagged:.0f} % ({100 * self.false:.0f} %)"


@dataclass(frozen=True, eq=False)
class Scored:
    """Features and probabilities of images."""

    features: NDArray[np.float32]
    probabilities: NDArray[np.float64]


def scored(network: Backbone, photos: Photos) -> Scored:
    """Return the answers of a trained network."""
    table = features(network, photos.views)
    layer = head_layer(network)
    weight = layer.weight.detach().flatten(1).float()
    bias = 0.0 if layer.bias is None else layer.bias.detach().float()
    return Scored(table.numpy(), softmax((table @ weight.T + bias).numpy()))


def detections(train: Scored, val: Scored, test: Scored, new: Scored) -> tuple[Detection, Detection]:
    """Return how well the distance finds `new` images, and how well the highest probability does."""
    k = neighbors(len(train.features))
    by_distance = [knn_distance(each.features, train.features, k) for each in (val, test, new)]
    by_doubt = [1 - each.probabilities.max(axis=1) for each in (val, test, new)]
    return _detection(*by_distance), _detection(*by_doubt)


def _detection(val: NDArray[np.float64], test: NDArray[np.float64], new: NDArray[np.float64]) -> Detection:
    limit = set_cut(val, ALPHA)
    return Detection(auroc(test, new), float((new > limit).mean()), float((test > limit).mean()))


def answered(network: Backbone, root: Path, name: str) -> list[Scored]:
    """Return the answers to train, validation and test."""
    return [scored(network, read(root / split, name, network.preprocess)) for split in SPLITS]


def far(run: Path, data: Path) -> Iterator[str]:
    """Yield a row for each other set."""
    name, size, seed = run.name.split("-")[:3]
    network = load_saved(run).backbone
    splits = answered(network, data / name / size / seed, name)
    for other in sorted(path.name for path in data.iterdir() if path.name != name):
        photos = read(data / other / size / seed / "test", other, network.preprocess).shuffled(0)
        new = scored(network, photos.of(np.arange(min(_FAR_IMAGES, len(photos)))))
        yield _row(f"{name} {size}", other, detections(*splits, new))


def reference_only(run: Path, data: Path) -> str:
    """Return the row of classes that the reference lacks in turn, but not the network, as in `raytl report`: mean and lowest."""
    name, size, seed = run.name.split("-")[:3]
    network, root = load_saved(run).backbone, data / name / size / seed
    splits = [read(root / split, name, network.preprocess) for split in SPLITS]
    answers = [scored(network, split) for split in splits]
    results = []
    for number in range(splits[0].classes):
        inside = [split.targets != number for split in splits]
        familiar = [_of(each, own) for each, own in zip(answers, inside, strict=True)]
        results.append(detections(*familiar, _of(answers[2], ~inside[2]))[0])
    rows = np.array([(each.auroc, each.flagged, each.false) for each in results])
    return f"| {name} {size} | {Detection(*rows.mean(axis=0).tolist()).text} | {rows[:, 0].min():.3f} |"


def _of(each: Scored, inside: NDArray[np.bool_]) -> Scored:
    return Scored(each.features[inside], each.probabilities[inside])


def never_learned(root: Path, name: str, left_out: str, model: str, weights: Path) -> str:
    """Train a model at 64 px without the class, and return the row of its test images."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        for split in SPLITS:
            shutil.copytree(root / split, data / split, ignore=shutil.ignore_patterns(left_out))
        experiment = raytl.Experiment(
            name=f"{name}-without-{left_out}",
            data=str(data),
            model={"name": model, "weights": str(weights), "preprocess": {"image_px": _PX}},
            compute={"cluster": "none"},
            storage={"uri": str(Path(folder) / "runs")},
        )
        network = load_saved(raytl.train(experiment, progress=False).path).backbone
        splits = answered(network, data, name)
    whole = read(root / "test", name, network.preprocess)
    number = sorted(path.name for path in (root / "test").iterdir()).index(left_out)
    return _row(name, left_out, detections(*splits, scored(network, whole.of(np.flatnonzero(whole.targets == number)))))


def _row(about: str, new: str, pair: tuple[Detection, Detection]) -> str:
    return f"| {about} | {new} | {pair[0].text} | {pair[1].text} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--left-out", type=int, default=0, help="classes of each set to train without")
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    head = "AUROC, flagged (false alarms) by distance | by one minus the highest probability |"
    print(f"| model of | images of | {head}\n|---|---|---|---|")
    for run in given.runs:
        for line in far(run, given.data):
            print(line, flush=True)
    print(
        "\n| model of | a class that the reference lacks: AUROC, flagged (false alarms) | lowest AUROC |\n|---|---|---|"
    )
    for run in given.runs:
        print(reference_only(run, given.data), flush=True)
    if given.left_out:
        print(f"\n| model of | never learned | {head}\n|---|---|---|---|")
    for run in given.runs if given.left_out else ():
        name, size, seed, model = run.name.split("-")[:4]
        root = given.data / name / size / seed
        for left_out in sorted(path.name for path in (root / "test").iterdir())[: given.left_out]:
            print(never_learned(root, name, left_out, model, given.weights), flush=True)


if __name__ == "__main__":
    main()
