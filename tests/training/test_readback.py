"""Numbers of a step come to the host on a stream of their own, after their sum, and are read after their copy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist

from raytl.training import readback
from raytl.training.readback import start_readback
from raytl.world import World
from tests.training.cuda_calls import Calls, FakeStream, faked


class Numbers(torch.Tensor):
    """Numbers on a GPU, as far as the code can tell."""

    calls: Calls

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    def record_stream(self, stream: Any) -> None:
        assert isinstance(stream, FakeStream)
        self.calls.add(f"keep the numbers for {stream.name}")


class Host:
    """Pinned memory."""

    def __init__(self, calls: Calls) -> None:
        self.calls, self.values = calls, torch.tensor([])

    def copy_(self, source: torch.Tensor, non_blocking: bool = False) -> None:
        assert non_blocking, "the host waits for this copy"
        self.calls.add("copy the numbers")
        self.values = source

    def tolist(self) -> Any:
        self.calls.add("read the numbers")
        return self.values.tolist()


class Work:
    """A sum that runs."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def wait(self) -> None:
        self.calls.add("wait for the sum")


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_next_step_waits_neither_for_the_sum_nor_for_the_copy(ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    readback._copying.cache_clear()
    with faked(monkeypatch) as calls:

        def all_reduce(numbers: torch.Tensor, async_op: bool) -> Work:
            assert async_op
            calls.add("start the sum")
            return Work(calls)

        monkeypatch.setattr(dist, "all_reduce", all_reduce)
        monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: Host(calls))
        numbers = torch.tensor([0.5, 1.0], dtype=torch.float64).as_subclass(Numbers)
        numbers.calls = calls
        started = start_readback(World(0, ranks, 0, ranks), numbers, "the loss")
        begun = len(calls.made)
        assert started.read() == [0.5, 1.0]
    readback._copying.cache_clear()
    sums = ["main: start the sum", "side 1: wait for the sum"] if ranks == 2 else []
    assert calls.made[:begun] == [
        "main: side 1 waits for main",
        *sums,
        "side 1: copy the numbers",
        "side 1: keep the numbers for side 1",
        "side 1: record an event on side 1, {'blocking': True}",
    ]
    assert calls.made[begun:] == ["main: the host waits for the event", "main: read the numbers"]
