"""Functions that the worker group's tests run; importable, because Ray sends functions by name."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from raytl.errors import NonFiniteLoss
from raytl.events import Message, OnEvent
from raytl.world import World


@dataclass(frozen=True)
class Orders:
    """Instructions: `die_once` is a file without which rank 0 kills itself; `fail` selects an error."""

    die_once: str = ""
    fail: str = ""


def add_ranks(world: World, orders: Orders, emit: OnEvent) -> tuple[int, int, float]:
    """Return (rank, world size, sum of rank + 1 over the ranks)."""
    value = torch.tensor([float(world.rank + 1)])
    if world.size > 1:
        dist.all_reduce(value)
    emit(Message(f"rank {world.rank} of {world.size}"))
    if world.is_main and orders.die_once and not Path(orders.die_once).exists():
        Path(orders.die_once).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if world.is_main and orders.fail == "user":
        raise NonFiniteLoss("the loss became nan in epoch 1")
    if world.is_main and orders.fail == "bug":
        raise ZeroDivisionError("a bug")
    if world.size > 1:
        dist.barrier()
    return world.rank, world.size, float(value)


def meet_and_wait(world: World, folder: str, emit: OnEvent) -> None:
    """Meet the other ranks, create the file `met` in `folder`, and return once there is one called `end`."""
    dist.barrier()
    (Path(folder) / "met").touch()
    while not (Path(folder) / "end").exists():
        threading.Event().wait(0.1)


def process_id(world: World, payload: None, emit: OnEvent) -> int:
    """Return the process ID of the worker."""
    return os.getpid()


def hang_on_rank_1(world: World, payload: None, emit: OnEvent) -> None:
    """Never let rank 1 reach the collective in which rank 0 waits."""
    if world.rank == 1:
        world.status.begin("reading the batch after epoch 1, step 1")
        threading.Event().wait()
    world.status.begin("all_reduce of the loss of epoch 1, step 2", in_collective=True)
    dist.barrier()
