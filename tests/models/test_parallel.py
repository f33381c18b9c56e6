from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from raytl.data.loader import Batch
from raytl.errors import DataError
from raytl.models.forward import BatchLike
from raytl.models.parallel import computed

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
        yield Batch(images, torch.tensor([2 * number, 2 * number + 1]))


def _logits(module: nn.Module, batches: Iterable[BatchLike]) -> list[tuple[list[int], np.ndarray]]:
    parts = computed(module, batches, lambda batch: module(batch.images / 255).detach().numpy(), CPU)
    return [(ids.tolist(), logits) for ids, logits in parts]


def test_batches_come_in_the_order_of_their_ids_with_the_bits_of_one_thread(threads: int) -> None:
    parts = _logits(_network(), _batches(9))
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    alone = _logits(_network(), _batches(9))
    assert [ids for ids, _ in parts] == [[2 * i, 2 * i + 1] for i in range(9)]
    np.testing.assert_array_equal([logits for _, logits in parts], [logits for _, logits in alone])


@pytest.mark.usefixtures("threads")
def test_the_callers_thread_takes_the_first_batch_and_so_forks_the_loaders_processes() -> None:
    takers: list[threading.Thread] = []

    def noting() -> Iterator[Batch]:
        for batch in _batches(3):
            takers.append(threading.current_thread())
            yield batch

    _logits(_network(), noting())
    assert takers[0] is threading.current_thread()


@pytest.mark.usefixtures("threads")
def test_fewer_batches_than_lanes_are_enough() -> None:
    ((ids, logits),) = _logits(_network(), _batches(1))
    assert (ids, logits.shape) == ([0, 1], (2, 5))
    assert _logits(_network(), []) == []


def test_an_error_ends_all_lanes_and_gives_the_threads_back(threads: int) -> None:
    taken = []

    def failing() -> Iterator[Batch]:
        for batch in _batches(5):
            taken.append(batch)
            yield batch
        raise DataError("the file changed")

    module = _network().train()
    with pytest.raises(DataError, match="the file changed"):
        _logits(module, failing())
    assert module.training
    assert len(taken) == 5
    assert torch.get_num_threads() == threads
