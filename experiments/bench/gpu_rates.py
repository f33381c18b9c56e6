"""The rates of `gpu`: images/s of raytl's loop and of a loop written by hand, its share of the peak, and the loader's."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.bench.gpu_checks import epoch_of
from experiments.bench.gpu_runs import Case, prepared
from raytl.models.forward import to_input
from raytl.models.optimizer import build_optimizer

WARM, ROUNDS = 1, 3


@dataclass(frozen=True)
class Rates:
    """Images/s of one network; `flops` of an image, forward and backward, and `peak` FLOP/s of a matrix product."""

    model: str
    raytl: float
    plain: float
    loader: float
    flops: float
    peak: float

    @property
    def row(self) -> str:
        """A row of the table."""
        return (
            f"| {self.model} | {self.raytl:.0f} | {self.plain:.0f} | {self.raytl / self.plain:.2f} "
            f"| {self.raytl * self.flops / self.peak:.1%} | {self.loader:.0f} | {self.loader / self.raytl:.1f} |"
        )


HEADER = (
    "| model | raytl, images/s | hand-written loop | raytl / hand-written | share of peak (MFU) | loader alone, images/s "
    "| headroom of the loader |\n|---|---|---|---|---|---|---|"
)


def rates(case: Case, peak: float) -> Rates:
    """Measure the network of `case`: raytl with its loader and the other loop on tensors on the device, in turns."""
    with closing(prepared(case)) as run:
        context = run.context
        ours, plain = epoch_of(run), _plain(run)
        taken: dict[str, list[float]] = {"raytl": [], "plain": []}
        for number in range(WARM + ROUNDS):
            for side, epoch in (("raytl", ours), ("plain", plain)):
                taken[side].append(_timed(epoch, number, context.device))
        loader = _timed(lambda number: sum(count for _, count in context.loader.epoch(number)), 9, context.device)
        median = {side: statistics.median(values[WARM:]) for side, values in taken.items()}
        return Rates(case.model, median["raytl"], median["plain"], loader, _flops(run), peak)


def _plain(run: Any) -> Callable[[int], int]:
    """Return an epoch of a loop as one writes it by hand, on four batches that are on the device, with the same optimizer."""
    context, model = run.context, run.backbone.module
    optimizer = build_optimizer([{"params": list(model.parameters())}], context.experiment.optim)
    batches = [
        (
            to_input(batch.images, context.preprocess, context.device, context.channels_last),
            batch.targets.to(context.device),
        )
        for batch, _ in itertools.islice(context.loader.epoch(0), 4)
    ]

    def epoch(_: int) -> int:
        model.train()
        seen = 0
        for number in range(context.loader.steps):
            images, targets = batches[number % len(batches)]
            with torch.autocast(context.device.type, context.precision, enabled=context.precision != torch.float32):
                loss = torch.nn.functional.cross_entropy(model(images).float(), targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seen += len(images)
        return seen

    return epoch


def _timed(epoch: Callable[[int], int], number: int, device: torch.device) -> float:
    _finish(device)
    started = time.perf_counter()
    images = epoch(number)
    _finish(device)
    return images / (time.perf_counter() - started)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _flops(run: Any) -> float:
    """Return the operations of one image forward and backward: two for each multiplication and addition."""
    model, context = run.backbone.module, run.context
    size = run.backbone.preprocess.view_size
    images = torch.zeros(2, 3, *size, device=context.device)
    with FlopCounterMode(display=False) as counter:
        model.train()(images).sum().backward()
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops() / len(images)


def peak_flops(device: torch.device, size: int) -> float:
    """Return the FLOP/s of a product of random bf16 matrices of `size`, the median of ten; fp32 on the CPU."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(13):
        _finish(device)
        started = time.perf_counter()
        one @ other
        _finish(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds[3:])
