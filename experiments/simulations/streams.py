"""The monitor of a server on real photos: false alarms on streams like the reference, and how soon a dirty camera is found.

    python -m experiments.simulations.streams ../shared/assets/datasets/trashnet_256 \
        --weights ../shared/assets/weights/mobilenetv2_100_tv.safetensors

The statistics are those of the server: the confidence of a model, the distance to its training images, and properties of the pixels.
The model is a classifier on frozen features of a part of train. Everything else is shuffled, so a stream of it is exchangeable with its
reference.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from experiments.collect import fitted
from experiments.simulations.photos import PX, Ints, backbone, features, read
from raytl.data.corruptions.suite import suite_named
from raytl.data.pixel_properties import of_pixels
from raytl.feedback.monitor import ALPHA
from raytl.feedback.reference import MAX_ROWS
from raytl.metrics.anytime import Stream
from raytl.metrics.unfamiliar import knn_distance, neighbors
from raytl.models.backbone import Backbone

STREAMS, LOOKS, REFERENCE, TRAINED, CLEAN = 100, 50, 376, 800, 100
FAULTS = (("dirt",), ("defocus",), ("dark",), ("bright",), ("dirt", "defocus", "dark"))
Rows = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier on frozen features: the network, its training features, and its probabilities."""

    network: Backbone
    trained: NDArray[np.float32]
    targets: Ints

    def statistics(self, views: NDArray[np.uint8]) -> Rows:
        """Return what a monitor sees of photos, `(n, 7)`."""
        table = features(self.network, views).numpy()
        predict = fitted(self.trained, self.targets, int(self.targets.max()) + 1)
        distance = knn_distance(table, self.trained, neighbors(len(self.trained)))
        pixels = np.concatenate([np.stack(list(of_pixels(view[None]).values()), axis=1) for view in views])
        return np.column_stack([predict(table).max(axis=1), distance, pixels])


def false_alarms(rows: Rows, streams: int = STREAMS, looks: int = LOOKS) -> tuple[int, int]:
    """Return how many shuffled streams of `rows (n, k)` raise an alarm at any of `looks` looks, and the images of a stream."""
    alarms = 0
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(rows))
        stream, rest = Stream.start(rows[order[:REFERENCE]]), rows[order[REFERENCE:]]
        for part in np.array_split(rest, looks):
            for row in part:
                stream = stream.after(row, rng, MAX_ROWS)
            if stream.is_alarm(ALPHA):
                alarms += 1
                break
    return alarms, len(rows) - REFERENCE


def images_until_found(clean: Rows, dirty: Rows, seed: int) -> int | None:
    """Return after how many dirty images the alarm comes, that `CLEAN` clean ones precede; None if it never does, 0 if it came before."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(clean))
    stream = Stream.start(clean[order[:REFERENCE]])
    for row in clean[order[REFERENCE : REFERENCE + CLEAN]]:
        stream = stream.after(row, rng, MAX_ROWS)
    if stream.is_alarm(ALPHA):
        return 0
    for count, row in enumerate(dirty[rng.permutation(len(dirty))], start=1):
        stream = stream.after(row, rng, MAX_ROWS)
        if stream.is_alarm(ALPHA):
            return count
    return None


def corrupted(views: NDArray[np.uint8], names: tuple[str, ...], severity: int) -> NDArray[np.uint8]:
    """Return photos as one camera with these faults takes them: the spots of dirt are the same in each."""
    for fault in (each for name in names for each in suite_named("camera") if each.name == name):
        views = np.stack([fault(view, severity, "camera") for view in views])
    return views


def report(folder: Path, weights: Path, seeds: int) -> Iterator[str]:
    """Yield the lines of the report."""
    network = backbone(weights)
    train, val, test = (read(folder / name, name, network.preprocess) for name in ("train", "val", "test"))
    order = np.random.default_rng(0).permutation(len(train))
    learned, rest = train.of(order[:TRAINED]), train.of(order[TRAINED:])
    model = Model(network, features(network, learned.views).numpy(), learned.targets)
    clean = model.statistics(np.concatenate([rest.views, val.views]))
    alarms, images = false_alarms(np.concatenate([clean, model.statistics(test.views)]))
    yield f"{STREAMS} streams of {images:,} photos like the reference, {LOOKS} looks each: {alarms} alarms (at most {100 * ALPHA:.0f} % promised)"
    yield f"\n| fault of the camera at {PX} px | severity | images until it is found, median | worst of {seeds} |\n|---|---|---|---|"
    for names in FAULTS:
        for severity in (1, 2):
            dirty = model.statistics(corrupted(test.views, names, severity))
            found = [images_until_found(clean, dirty, seed) for seed in range(seeds)]
            known = [each if each is not None else len(dirty) + 1 for each in found]
            worst = "not found" if None in found else str(max(known))
            yield f"| {', '.join(names)} | {severity} | {np.median(known):.0f} | {worst} |"


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with the class folders of train/, val/ and test/")
    parser.add_argument("--weights", type=Path, required=True, help="pretrained weights of mobilenetv2_100")
    parser.add_argument("--seeds", type=int, default=20, help="orders of the photos of each fault")
    options = parser.parse_args()
    for line in report(options.data, options.weights, options.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
