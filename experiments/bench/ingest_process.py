"""One mode of the ingest bench: from the data to batches for the training step, in this process.

Prints one line of JSON: seconds until the first batch, and images/s of the epochs, without imports.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from raytl.config.schema import AugmentConfig, DataConfig
from raytl.data.augment import TrainAugment
from raytl.data.cache import open_images
from raytl.data.loader import TrainLoader
from raytl.data.transforms import Preprocess
from raytl.tasks.classification.targets import LabelEncoder
from raytl.training.dataset import read_dataset
from raytl.world import World

PREPROCESS = Preprocess(224, 256, "center", "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Ingest:
    """A measurement: the `data` section, and `epochs` epochs in batches of `batch` from `workers` loader processes."""

    data: dict[str, object]
    epochs: int
    batch: int
    workers: int

    def to_json(self) -> str:
        """Return the command-line argument of the process."""
        return json.dumps(asdict(self))


def measured(job: Ingest) -> dict[str, object]:
    """Return the seconds until the first batch, and images/s by epoch."""
    config = DataConfig.model_validate(job.data)
    began = time.perf_counter()
    train = read_dataset(config, PREPROCESS, lambda _: None).splits.train
    images = open_images(train, PREPROCESS, config)
    augment = TrainAugment(AugmentConfig(), PREPROCESS)
    loader = TrainLoader(
        images,
        LabelEncoder(np.zeros(len(train), int)),
        augment,
        batch=job.batch,
        seed=0,
        world=World.solo(),
        workers=job.workers,
    )
    firsts: list[float] = []
    rates = [len(train) / epoch(loader, number, firsts.append) for number in range(job.epochs)]
    loader.close()
    return {"first_batch_s": firsts[0] - began, "images": len(train), "images_per_s": rates}


def epoch(loader: TrainLoader, number: int, first: Callable[[float], None]) -> float:
    """Return the seconds of an epoch without training."""
    began = time.perf_counter()
    for place, (batch, _) in enumerate(loader.epoch(number)):
        assert len(batch) > 0, "one worker has a part of every batch"
        if place == 0:
            first(time.perf_counter())
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(measured(Ingest(**json.loads(sys.argv[1])))))
