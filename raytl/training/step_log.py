"""The steps that the device has not finished: their losses, and what the ranks ask for, are read when they are there.

After each step, the ranks add up its loss and their requests (a checkpoint is due, a pause) on the device, and copy the sums
to the host. The host reads them `LAG` steps later, when the device has the next step to work on, so neither waits for the
other. All ranks read the sums of a step at the same step, so they take the same decision there. Before weights are saved or
scored, the losses of all steps are read: weights that a NaN has reached are never kept.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raytl.errors import NonFiniteLoss
from raytl.training.checkpoint import Progress
from raytl.training.readback import Readback, start_readback
from raytl.world import World

LAG = 1
"""Steps that the host is ahead of the values that it reads."""


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests of one rank, or of at least one of them, to all ranks after a step: save a checkpoint, pause."""

    save: bool = False
    pause: bool = False

    def __or__(self, other: Requests) -> Requests:
        return Requests(self.save or other.save, self.pause or other.pause)


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step whose loss was read, the mean over the global batch; `progress` is that after it."""

    progress: Progress
    loss: float
    rates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Unread:
    step: int
    count: int
    rates: Mapping[str, float]
    sums: Readback


class StepLog:
    """The steps of one epoch from `progress` on. `progress` is that after the last step whose loss was read.

    `report` gets each step whose loss was read.
    """

    def __init__(
        self, name: str, world: World, device: torch.device, progress: Progress, report: Callable[[StepDone], None]
    ) -> None:
        self._name, self._world, self._device, self._report = name, world, device, report
        self.progress = progress
        self._before, self._started = progress.seconds, time.monotonic()
        self._unread: deque[_Unread] = deque()
        self._lag = _lag(world, device)

    def add(self, step: int, count: int, rates: Mapping[str, float], loss: Tensor, asks: Requests) -> Requests:
        """Add a step with this rank's part of the `loss ()`, times `count`; return what all ranks do now.

        A single rank does at once what it asks for, several what they asked for `LAG` steps before.

        Raises:
            NonFiniteLoss: a loss that was read is NaN or infinite.
        """
        numbers = torch.stack([loss.to(torch.float64), *(self._number(flag) for flag in (asks.save, asks.pause))])
        sums = start_readback(self._world, numbers, f"the loss of {self._place(step)}")
        self._unread.append(_Unread(step, count, rates, sums))
        read = self._read(self._lag)
        return asks if self._world.size == 1 else read

    def flush(self) -> Requests:
        """Read the losses of all steps; return what the ranks asked for at those that were not read before.

        Raises:
            NonFiniteLoss: one is NaN or infinite.
        """
        return self._read(0)

    def _read(self, keep: int) -> Requests:
        requested = Requests()
        while len(self._unread) > keep:
            unread = self._unread.popleft()
            loss, save, pause = unread.sums.read()
            if not math.isfinite(loss):
                raise self._non_finite(unread, loss)
            self._count(unread, loss)
            requested |= Requests(save > 0, pause > 0)
        return requested

    def _count(self, unread: _Unread, loss: float) -> None:
        done = self.progress
        self.progress = replace(
            done,
            step=unread.step + 1,
            loss_sum=done.loss_sum + loss,
            seen=done.seen + unread.count,
            seconds=self._before + time.monotonic() - self._started,
        )
        self._report(StepDone(self.progress, loss / unread.count, unread.rates))

    def _number(self, flag: bool) -> Tensor:
        """Return a flag on the device; filled there, since a copy would wait."""
        return torch.full((), float(flag), dtype=torch.float64, device=self._device)

    def _place(self, step: int) -> str:
        return f"epoch {self.progress.epoch + 1}, step {step + 1}"

    def _non_finite(self, unread: _Unread, loss: float) -> NonFiniteLoss:
        rates = ", ".join(f"{name} {rate:.2g}" for name, rate in unread.rates.items())
        return NonFiniteLoss(
            f"{self._name}: the loss became {loss} in {self._place(unread.step)} (rates: {rates}).\n"
            "  Lower optim.lr or raise transfer.head_lr_ratio; also try optim.clip_norm, a longer optim.warmup, "
            "or train.precision: fp32."
        )


def _lag(world: World, device: torch.device) -> int:
    """Return 0 for one rank on the CPU, whose values are on the host at once."""
    return LAG if world.size > 1 or device.type != "cpu" else 0
