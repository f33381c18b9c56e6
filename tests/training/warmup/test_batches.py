"""The batches of a warm-up: two views of each image, the same for any number of workers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from raytl.config.schema import AugmentConfig
from raytl.data.augment import TrainAugment
from raytl.data.step_source import StepSource
from raytl.data.transforms import Preprocess
from raytl.training.objectives.contrastive import SECOND
from raytl.training.warmup.batches import PairLoader
from raytl.world import World

PREPROCESS = Preprocess(16, 20, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
STRONG = TrainAugment(AugmentConfig(strength=1.0), PREPROCESS)
IMAGES = list(np.random.default_rng(0).integers(0, 256, (11, 20, 20, 3), dtype=np.uint8))
LABELS = np.arange(11, dtype=np.int64) % 3


def loader(rank: int = 0, size: int = 1, workers: int = 0) -> PairLoader:
    source = StepSource("warmup", IMAGES, {"one": STRONG, "other": STRONG}, ratio=1.0)
    world = World(rank, size, rank, size)
    return PairLoader(source, LABELS, (16, 16, 3), batch=4, seed=3, world=world, workers=workers)


def views(batches: PairLoader, epoch: int = 0, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """Yield the step, the image and the pixels of both views."""
    for step, (batch, count) in enumerate(batches.epoch(epoch, start), start=start):
        assert batch.targets.shape == (count,)
        for i, one, other in zip(batch.ids.tolist(), batch.images, batch.beside[SECOND].images, strict=True):
            assert not torch.equal(one, other), "the views of an image differ"
            yield step, i, one.numpy().tobytes() + other.numpy().tobytes()


@pytest.mark.parametrize("size", [2, 3])
def test_global_batches_do_not_depend_on_the_number_of_workers(size: int) -> None:
    parts = [list(views(loader(rank, size))) for rank in range(size)]
    assert sorted(view for part in parts for view in part) == sorted(views(loader()))


def test_every_image_comes_once_an_epoch_in_another_order_and_view() -> None:
    one, other = (list(views(loader(), epoch)) for epoch in (0, 1))
    assert sorted(i for _, i, _ in one) == sorted(i for _, i, _ in other) == list(range(11))
    assert [i for _, i, _ in one] != [i for _, i, _ in other]
    assert not {view for *_, view in one} & {view for *_, view in other}


def test_each_rank_has_the_labels_of_the_whole_batch_in_the_order_of_a_single_worker() -> None:
    alone, second = (list(loader(rank, size).epoch(0)) for rank, size in ((0, 1), (1, 3)))
    for (whole, _), (part, _) in zip(alone, second, strict=True):
        assert whole.targets.tolist() == part.targets.tolist() == LABELS[whole.ids].tolist()
        assert part.ids.tolist() == whole.ids[1::3].tolist()


def test_an_epoch_continues_at_any_step_and_loader_processes_change_nothing() -> None:
    forked = loader(workers=1)
    try:
        assert list(views(forked, 2, start=1)) == [view for view in views(loader(), 2) if view[0] >= 1]
    finally:
        forked.close()
