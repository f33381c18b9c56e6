"""Several sources in a step: the same global batches for any number of workers, from any step on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from raytl.config.schema import AugmentConfig
from raytl.data.augment import TrainAugment
from raytl.data.loader import Batch, TrainLoader
from raytl.data.step_source import StepSource
from raytl.data.transforms import Preprocess
from raytl.tasks.classification.targets import LabelEncoder
from raytl.world import World

PREPROCESS = Preprocess(16, 20, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
WEAK, STRONG = (TrainAugment(AugmentConfig(strength=strength), PREPROCESS) for strength in (0.0, 1.0))
LABELLED, MADE, POOL = 21, 5, 13


def noise(count: int, seed: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 20, 20, 3), dtype=np.uint8))


def sources() -> list[StepSource]:
    made = StepSource("made", noise(MADE, 1), {"made": WEAK}, 0.5, LabelEncoder(np.arange(MADE) % 2 + 5))
    return [StepSource("pool", noise(POOL, 2), {"weak": WEAK, "strong": STRONG}, 1.5), made]


def loader(world: World = World.solo(), workers: int = 0, beside: Sequence[StepSource] | None = None) -> TrainLoader:  # noqa: B008
    encoder, own = LabelEncoder(np.arange(LABELLED) % 3), noise(LABELLED, 0)
    given = sources() if beside is None else beside
    return TrainLoader(own, encoder, WEAK, batch=6, seed=5, world=world, workers=workers, beside=given)


def rows(batch: Batch) -> list[tuple[Any, ...]]:
    """Id, label and pixels of each labelled image, and id and pixels of each view."""
    labelled = [("labelled", int(i), int(t), p.numpy().tobytes()) for i, t, p in zip(batch.ids, batch.targets, batch.images, strict=True)]  # fmt: skip
    beside = [
        (name, int(i), image.numpy().tobytes())
        for name, other in batch.beside.items()
        for i, image in zip(other.ids, other.images, strict=True)
    ]
    return [*labelled, *beside]


def test_a_step_has_its_share_of_every_source() -> None:
    mine = loader()
    batches = list(mine.epoch(0))
    assert len(batches) == mine.steps == 4
    for batch, count in batches:
        own = batch.ids < LABELLED
        assert count == len(batch) and int((~own).sum()) == 3
        assert batch.targets[~own].min() >= 5 > batch.targets[own].max()
        assert {name: len(other) for name, other in batch.beside.items()} == {"weak": 9, "strong": 9}
        assert torch.equal(batch.beside["weak"].ids, batch.beside["strong"].ids)
        assert not torch.equal(batch.beside["weak"].images, batch.beside["strong"].images)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_an_image_of_a_source_is_seen_anew_in_each_cycle() -> None:
    steps = [batch for epoch in range(3) for batch, _ in loader().epoch(epoch)]
    of_first = [
        other.images[place]
        for step in steps
        for other in [step.beside["strong"]]
        for place in range(len(other))
        if other.ids[place] == 0
    ]
    assert len(of_first) in (12 * 9 // POOL, 12 * 9 // POOL + 1)
    assert all(not torch.equal(one, other) for one, other in pairwise(of_first))


@pytest.mark.parametrize("size", [2, 3])
def test_the_global_batches_are_the_same_for_any_number_of_workers(size: int) -> None:
    for epoch in (0, 2):
        solo = list(loader().epoch(epoch))
        ranks = [list(loader(World(rank, size, 0)).epoch(epoch)) for rank in range(size)]
        for step, (whole, count) in enumerate(solo):
            parts = [rank[step] for rank in ranks]
            assert {n for _, n in parts} == {count}
            assert sorted(row for part, _ in parts for row in rows(part)) == sorted(rows(whole))
            for part, _ in parts:
                assert torch.equal(part.beside["weak"].ids, part.beside["strong"].ids)


def test_loader_processes_and_a_start_in_the_middle_change_no_pixel() -> None:
    whole = [rows(batch) for batch, _ in loader().epoch(1)]
    beside = loader(workers=1)
    try:
        assert [rows(batch) for batch, _ in beside.epoch(1)] == whole
        assert [rows(batch) for batch, _ in beside.epoch(1, start_step=2)] == whole[2:]
    finally:
        beside.close()


def test_the_own_images_do_not_change_with_the_sources_beside_them() -> None:
    for (alone, _), (among, _) in zip(loader(beside=[]).epoch(1), loader().epoch(1), strict=True):
        assert torch.equal(alone.images, among.images[: len(alone)]) and torch.equal(alone.ids, among.ids[: len(alone)])


def test_micro_batches_have_their_part_of_every_source() -> None:
    batch, _ = next(loader().epoch(0))
    parts = batch.split(2)
    assert [{name: len(other) for name, other in part.beside.items()} for part in parts] == [
        {"weak": 5, "strong": 5},
        {"weak": 4, "strong": 4},
    ]
    assert sorted(row for part in parts for row in rows(part)) == sorted(rows(batch))
