"""The same tensors from any number of loader processes and workers, epoch after epoch."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.config.schema import AugmentConfig
from raytl.data.augment import TrainAugment
from raytl.data.images import FileImages
from raytl.data.loader import Batch, EvalLoader, TrainLoader, auto_workers
from raytl.data.manifest import Sample
from raytl.data.shard import class_weights
from raytl.data.transforms import Preprocess, center_crop, eval_view
from raytl.errors import DataError, TrainingError
from raytl.tasks.classification.targets import LabelEncoder
from raytl.world import World

PREPROCESS = Preprocess(16, 20, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
AUGMENT = TrainAugment(AugmentConfig(strength=0.7), PREPROCESS)
TARGETS = [i % 3 for i in range(21)]
ENCODER = LabelEncoder(np.array(TARGETS))


class Noise:
    """21 prepared images in memory."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.pixels = [rng.integers(0, 256, (20, 20 + i % 5, 3), dtype=np.uint8) for i in range(21)]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int, /) -> np.ndarray:
        return self.pixels[i]


def loader(workers: int = 0, world: World = World.solo(), batch: int = 6, **more: object) -> TrainLoader:  # noqa: B008
    return TrainLoader(Noise(), ENCODER, AUGMENT, batch=batch, seed=5, world=world, workers=workers, **more)  # type: ignore[arg-type]


def by_id(batches: list[tuple[Batch, int]]) -> dict[int, torch.Tensor]:
    return {int(i): image for batch, _ in batches for i, image in zip(batch.ids, batch.images, strict=True)}


def same(one: list[tuple[Batch, int]], other: list[tuple[Batch, int]]) -> bool:
    return len(one) == len(other) and all(
        n == m and torch.equal(a.images, b.images) and torch.equal(a.ids, b.ids) and torch.equal(a.targets, b.targets)
        for (a, n), (b, m) in zip(one, other, strict=True)
    )


def test_batches_hold_uint8_pixels_in_channels_last_memory_and_their_targets() -> None:
    batches = list(loader().epoch(0))
    assert len(batches) == loader().steps == 4
    batch, count = batches[0]
    assert batch.images.shape == (count, 3, 16, 16)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.tolist() == [TARGETS[i] for i in batch.ids]
    assert sorted(i for b, _ in batches for i in b.ids.tolist()) == list(range(21))


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_processes_change_no_pixel_in_any_epoch(workers: int) -> None:
    here, beside = loader(0), loader(workers)
    try:
        for epoch in (0, 1, 3):
            assert same(list(here.epoch(epoch)), list(beside.epoch(epoch)))
    finally:
        beside.close()


def test_a_long_epoch_goes_round_the_shared_memory_many_times() -> None:
    here, beside = loader(0, batch=1), loader(1, batch=1)
    try:
        assert same(list(here.epoch(0)), list(beside.epoch(0)))
    finally:
        beside.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_can_start_at_any_step_and_be_left_in_the_middle(workers: int) -> None:
    mine = loader(workers, batch=3)
    try:
        whole = list(loader(0, batch=3).epoch(2))
        next(mine.epoch(1))
        assert same(list(mine.epoch(2, start_step=2)), whole[2:])
        assert list(mine.epoch(2, start_step=mine.steps)) == []
        assert same(list(mine.epoch(2)), whole)
    finally:
        mine.close()


@pytest.mark.parametrize("size", [2, 3])
def test_the_view_of_a_sample_does_not_depend_on_the_world(size: int) -> None:
    solo = list(loader().epoch(1))
    ranks = [list(loader(world=World(rank, size, 0)).epoch(1)) for rank in range(size)]
    for step, (whole, count) in enumerate(solo):
        parts = [rank[step] for rank in ranks]
        assert [n for _, n in parts] == [count] * size
        assert sorted(i for b, _ in parts for i in b.ids.tolist()) == sorted(whole.ids.tolist())
    on_each_node = {k: v for rank in ranks for k, v in by_id(rank).items()}
    assert all(torch.equal(image, on_each_node[i]) for i, image in by_id(solo).items())


def test_each_epoch_shows_another_view() -> None:
    one, other = (by_id(list(loader().epoch(epoch))) for epoch in (0, 1))
    assert sum(torch.equal(one[i], other[i]) for i in one) == 0


def test_the_global_random_states_are_left_alone() -> None:
    torch.manual_seed(0)
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    for workers in (0, 1):
        mine = loader(workers, weights=class_weights(TARGETS, 3))
        list(mine.epoch(0))
        mine.close()
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpys, np.random.get_state()[1])  # type: ignore[index]


def test_a_rank_without_samples_in_a_tiny_batch_gets_an_empty_one() -> None:
    batches = list(loader(world=World(2, 3, 0), batch=2).epoch(0))
    assert batches[0][0].images.shape == (0, 3, 16, 16)
    assert batches[0][1] == 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_evaluation_sees_the_centre_of_each_sample_once(size: int, workers: int) -> None:
    seen: dict[int, torch.Tensor] = {}
    for rank in range(size):
        images = EvalLoader(Noise(), PREPROCESS, batch=4, world=World(rank, size, 0), workers=workers)
        for _ in range(2):
            batches = [(batch, 0) for batch in images]
            assert len(batches) == len(images)
        assert not seen.keys() & by_id(batches).keys()
        seen |= by_id(batches)
        images.close()
    assert sorted(seen) == list(range(21))
    assert all(torch.equal(seen[i], eval_view(Noise()[i], PREPROCESS)) for i in seen)
    assert np.array_equal(seen[4].permute(1, 2, 0).numpy(), center_crop(Noise()[4], 16))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_vanished_is_named_without_a_traceback(tmp_path: Path, workers: int) -> None:
    images = FileImages([Sample("gone.jpg", str(tmp_path / "gone.jpg"), "a")], PREPROCESS, 10**6)
    mine = TrainLoader(
        images, LabelEncoder(np.zeros(1, int)), AUGMENT, batch=1, seed=0, world=World.solo(), workers=workers
    )
    with pytest.raises(DataError, match=r"gone.jpg: cannot be read .* the file has changed since") as caught:
        list(mine.epoch(0))
    assert "Traceback" not in str(caught.value)
    mine.close()


class Deadly(Noise):
    """Kills the process that reads it, as the kernel does when memory runs out."""

    def __getitem__(self, i: int, /) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_a_killed_loader_process_is_an_error_that_says_what_to_do() -> None:
    mine = TrainLoader(Deadly(), ENCODER, AUGMENT, batch=6, seed=0, world=World.solo(), workers=1)
    with pytest.raises(TrainingError, match=r"a loader process died.*lower data.loader_workers"):
        list(mine.epoch(0))
    mine.close()


def test_a_closed_loader_starts_again() -> None:
    mine = loader(1)
    first = list(mine.epoch(0))
    mine.close()
    assert same(first, list(mine.epoch(0)))
    mine.close()


@pytest.mark.parametrize(
    ("device", "cores", "expected"),
    [("cpu", 1, 1), ("cpu", 2, 1), ("cpu", 16, 3), ("cpu", 64, 4), ("cuda", 1, 1), ("cuda", 4, 3), ("cuda", 64, 8)],
)
def test_loader_processes_leave_a_cpu_to_the_training(device: str, cores: int, expected: int) -> None:
    assert auto_workers(device, cores) == expected


def test_strength_changes_the_views() -> None:
    calm = TrainAugment(AugmentConfig(strength=0.0), replace(PREPROCESS))
    other = TrainLoader(Noise(), ENCODER, calm, batch=6, seed=5, world=World.solo())
    assert not same(list(loader().epoch(0)), list(other.epoch(0)))
