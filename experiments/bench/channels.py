"""Compare the rules of `model.stem` on images of 4 and 13 channels: pretrained filters that were adapted, or random ones.

    python -m experiments.bench.channels weights.safetensors photos/ [train images a class] [test images a class]

The photos have train/ and test/ class folders. Their channels are red, green, blue, and filters of the gray image (edges, blurs,
emboss ...): a test of the rules on channels that are not RGB, not of the worth of such channels. The features of the frozen
network are classified by ridge regression; three seeds draw the training images from four times as many.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.channel_statistics import depth_of
from raytl.data.images import Pixels
from raytl.data.transforms import eval_view, prepare_channels
from raytl.models.backbone import Backbone, build
from raytl.models.forward import to_input
from raytl.models.frozen import Ridge

RULES = ("repeat", "mean", "zero", "random")
SEEDS, IMAGE_PX, PENALTY = 3, 64, 0.1
_FILTERS = (
    ImageFilter.FIND_EDGES, ImageFilter.GaussianBlur(1), ImageFilter.GaussianBlur(2), ImageFilter.GaussianBlur(4),
    ImageFilter.EMBOSS, ImageFilter.CONTOUR, ImageFilter.MaxFilter(3), ImageFilter.MinFilter(3), ImageFilter.MedianFilter(3),
    ImageFilter.SHARPEN,
)  # fmt: skip
Ints = NDArray[np.int64]


def channels_of(path: Path, count: int) -> Pixels:
    """Return red, green, blue and the first filters of the gray image, `(h, w, count)`."""
    image = Image.open(path)
    gray = image.convert("L")
    parts = [np.asarray(image.convert("RGB")), *(np.asarray(gray.filter(each)) for each in _FILTERS[: count - 3])]
    return np.dstack(parts)


def listed(folder: Path, split: str, limit: int) -> tuple[list[Path], Ints]:
    """Return the first images of each class and their classes."""
    classes = sorted(path for path in (folder / split).iterdir() if path.is_dir())
    files = [(path, place) for place, each in enumerate(classes) for path in sorted(each.iterdir())[:limit]]
    return [path for path, _ in files], np.array([place for _, place in files])


def backbone_of(weights: str, rule: str, train: list[Pixels], classes: int) -> Backbone:
    """Return the network, with the statistics of the training images."""
    sample = np.concatenate([each[::8, ::8].reshape(-1, each.shape[2]) for each in train]).astype(np.float32)
    config = ModelConfig.model_validate(
        {
            "name": "mobilenetv2_100", "weights": weights, "channels": train[0].shape[2], "stem": rule,
            "preprocess": PreprocessOverride(image_px=IMAGE_PX),
        }
    )  # fmt: skip
    return build(config, classes).reading(depth_of(sample, None, are_bytes=True))


def inputs_of(backbone: Backbone, images: list[Pixels]) -> torch.Tensor:
    """Return the normalized views of images."""
    preprocess = backbone.preprocess
    views = torch.stack([eval_view(prepare_channels(each, preprocess), preprocess) for each in images])
    return to_input(views, preprocess, torch.device("cpu"), channels_last=True)


@torch.no_grad()
def features_of(backbone: Backbone, inputs: torch.Tensor) -> torch.Tensor:
    """Return the features of the frozen network, `(n, d)`."""
    module = backbone.module.eval()
    return torch.cat([module.forward_head(module.forward_features(part), pre_logits=True) for part in inputs.split(32)])


def main(weights: str, folder: str, per_class: str = "30", test_per_class: str = "30") -> None:
    """Print a table of accuracies in percent."""
    files, classes = listed(Path(folder), "train", 4 * int(per_class))
    test_files, truth = listed(Path(folder), "test", int(test_per_class))
    print("| channels | rule | accuracy %: mean (lowest to highest) | seconds |\n|---:|---|---:|---:|")
    for count in (4, 13):
        images, test = ([channels_of(path, count) for path in part] for part in (files, test_files))
        for rule in RULES:
            began = time.perf_counter()
            backbone = backbone_of(weights, rule, images, len(set(classes.tolist())))
            rows = [inputs_of(backbone, part) for part in (images, test)]
            train_features, test_features = (features_of(backbone, part).double() for part in rows)
            scores = []
            for seed in range(SEEDS):
                chosen = drawn(classes, int(per_class), seed)
                probe = Ridge(
                    train_features[torch.from_numpy(chosen)], classes[chosen], int(classes.max()) + 1, PENALTY
                )
                scores.append(100 * float((probe(test_features).argmax(axis=1) == truth).mean()))
            seconds = time.perf_counter() - began
            print(f"| {count} | {rule} | {spread(scores)} | {seconds:.0f} |", flush=True)


def drawn(classes: Ints, per_class: int, seed: int) -> Ints:
    """Return so many rows of each class."""
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(np.flatnonzero(classes == each))[:per_class] for each in np.unique(classes)]
    return np.sort(np.concatenate(parts))


def spread(values: list[float]) -> str:
    """Return the mean, and the lowest and the highest."""
    return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main(*sys.argv[1:])
