from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from raytl.data.loader import Batch
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.models.parallel import ordered_logits

SHAPE = Preprocess(8, 8, "center", "bilinear", (0.5,) * 3, (0.5,) * 3)
CPU = torch.device("cpu")


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


def _batches(count: int) -> Iterator[Batch]:
    draw = torch.Generator().manual_seed(0)
    for number in reversed(range(count)):
        images = torch.randint(0, 255, (2, 3, 8, 8), dtype=torch.uint8, generator=draw)
        yield Batch(images, torch.zeros(2, dtype=torch.int64), torch.tensor([2 * number, 2 * number + 1]))


def test_rows_come_in_the_order_of_their_ids_with_the_bits_of_one_thread(threads: int) -> None:
    ids, logits = ordered_logits(_network(), _batches(9), SHAPE, CPU, torch.float32)
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    _, alone = ordered_logits(_network(), _batches(9), SHAPE, CPU, torch.float32)
    assert ids.tolist() == list(range(18))
    np.testing.assert_array_equal(logits, alone)


@pytest.mark.usefixtures("threads")
def test_the_callers_thread_takes_the_first_batch_and_so_forks_the_loaders_processes() -> None:
    takers: list[threading.Thread] = []

    def noting() -> Iterator[Batch]:
        for batch in _batches(3):
            takers.append(threading.current_thread())
            yield batch

    ordered_logits(_network(), noting(), SHAPE, CPU, torch.float32)
    assert takers[0] is threading.current_thread()


@pytest.mark.usefixtures("threads")
def test_fewer_batches_than_lanes_are_enough() -> None:
    ids, logits = ordered_logits(_network(), _batches(1), SHAPE, CPU, torch.float32)
    assert (ids.tolist(), logits.shape) == ([0, 1], (2, 5))
    ids, logits = ordered_logits(_network(), [], SHAPE, CPU, torch.float32)
    assert len(ids) == len(logits) == 0


def test_an_error_ends_all_lanes_and_gives_the_threads_back(threads: int) -> None:
    taken = []

    def failing() -> Iterator[Batch]:
        for batch in _batches(5):
            taken.append(batch)
            yield batch
        raise DataError("the file changed")

    with pytest.raises(DataError, match="the file changed"):
        ordered_logits(_network(), failing(), SHAPE, CPU, torch.float32)
    assert len(taken) == 5
    assert torch.get_num_threads() == threads
