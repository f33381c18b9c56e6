"""What a sweep will cost, measured by a few steps at each depth and projected by arithmetic."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from raytl.config.schema import SearchConfig
from raytl.config.space import Space
from raytl.models.backbone import Backbone, build
from raytl.models.freeze import apply_freeze
from raytl.models.prefix import NotTraceable, split_model, suffix_backbone
from raytl.search.plan import CostEstimate, DepthCost
from raytl.search.trial import SweepJob
from raytl.training.allocator import keep_freed_memory

_BATCH = 16
_STEPS = 2
_SLACK = 1.5
"""Asynchronous halving lets some go on that a rung's full view would have stopped; measured as about this factor."""
_START_S = 2.0


def depth_costs(
    job: SweepJob, depths: Sequence[int], device: torch.device, precision: torch.dtype
) -> tuple[DepthCost, ...]:
    """What a trial costs at each of `depths`, by steps on random images of the right size."""
    if device.type == "cpu":
        keep_freed_memory()
    with torch.random.fork_rng(devices=[]):
        model = job.experiment.model.model_copy(update={"weights": "none"})
        backbone = build(model, len(job.classes))
        layout = torch.channels_last if backbone.convolutional else torch.contiguous_format
        backbone.module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        px = backbone.preprocess.image_px
        images = torch.randn(_BATCH, 3, px, px, device=device).to(memory_format=layout)
        forward_s = _forward(backbone.module, images, precision)
        return tuple(_cost(job, backbone, depth, images, forward_s, precision) for depth in depths)


def _cost(
    job: SweepJob, backbone: Backbone, depth: int, images: torch.Tensor, forward_s: float, precision: torch.dtype
) -> DepthCost:
    apply_freeze(backbone, depth)
    sizes = list(backbone.sizes.values())
    trainable = sum(sizes[len(sizes) - 1 - depth :])
    network, inputs, cache_bytes, build_s, val_s = backbone.module, images, 0, 0.0, forward_s
    if job.share and depth < len(backbone.stages):
        try:
            made = split_model(backbone, depth)
        except NotTraceable:
            made = None
        if made is not None:
            with torch.no_grad(), _autocast(images.device, precision):
                inputs = made.prefix(images)
            network = suffix_backbone(backbone, made).module
            views = job.experiment.search.views
            cache_bytes = (views * len(job.train) + len(job.val)) * inputs.shape[1] * inputs.element_size()
            build_s = (views * len(job.train) + len(job.val)) * forward_s
            val_s = _forward(network, inputs, precision)
    step_s = _step(network, inputs, len(job.classes), precision)
    epoch_s = step_s * len(job.train) + val_s * len(job.val)
    return DepthCost(depth, trainable, epoch_s, cache_bytes > 0, cache_bytes, build_s)


def _step(network: nn.Module, inputs: torch.Tensor, classes: int, precision: torch.dtype) -> float:
    """Seconds an image of forward and backward; the first step warms up."""
    network.train()
    targets = torch.randint(0, classes, (len(inputs),), device=inputs.device)
    times = []
    for _ in range(_STEPS + 1):
        started = time.perf_counter()
        with _autocast(inputs.device, precision):
            loss = nn.functional.cross_entropy(network(inputs).float(), targets)
        loss.backward()
        loss.item()
        times.append(time.perf_counter() - started)
        network.zero_grad(set_to_none=True)
    return statistics.median(times[1:]) / len(inputs)


@torch.no_grad()
def _forward(network: nn.Module, inputs: torch.Tensor, precision: torch.dtype) -> float:
    """Seconds an image of the forward pass."""
    network.eval()
    times = []
    for _ in range(_STEPS + 1):
        started = time.perf_counter()
        with _autocast(inputs.device, precision):
            network(inputs).float().sum().item()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]) / len(inputs)


def _autocast(device: torch.device, precision: torch.dtype) -> Any:
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)


def depths_of(space: Space, base: Mapping[str, Any], stages: int) -> tuple[int, ...]:
    """The depths that trials may have."""
    for dimension in space.dimensions:
        if dimension.key == "transfer.unfreeze":
            if dimension.kind == "choice":
                return tuple(sorted({stages if value == "all" else int(value) for value in dimension.choices}))
            return tuple(range(int(dimension.low), int(dimension.high) + 1))
    fixed = base["transfer.unfreeze"]
    return (stages if fixed == "all" else int(fixed),)


def expected_epochs(search: SearchConfig, epochs: int) -> float:
    """Epochs of a trial on average when each rung lets one in `reduction` go on (Li et al. 2020, ASHA)."""
    if search.scheduler == "none":
        return float(epochs)
    total, rung, share = 0.0, 0, 1.0
    following = search.grace_epochs
    while rung < epochs:
        reached = min(following, epochs)
        total += share * (reached - rung)
        rung, share, following = reached, share / search.reduction, reached * search.reduction
    return total


def projected(
    costs: Sequence[DepthCost], trials: int, concurrency: int, search: SearchConfig, epochs: int
) -> CostEstimate:
    """Seconds of wall time for `trials` trials, their replicates and the refit, `concurrency` at a time."""
    mean = statistics.fmean(cost.epoch_s for cost in costs)
    least, most = min(cost.epoch_s for cost in costs), max(cost.epoch_s for cost in costs)
    pruned = expected_epochs(search, epochs)
    likely = min(float(epochs), pruned * _SLACK)
    again = search.replicates.top * (search.replicates.seeds - 1)
    build = sum(cost.build_s for cost in costs) / concurrency

    def wall(epoch_s: float, each: float) -> float:
        runs = math.ceil(trials / concurrency) * (each * epoch_s + _START_S / 10)
        return runs + math.ceil(again / concurrency) * epochs * epoch_s + epochs * mean + build + _START_S

    return CostEstimate(wall(min(mean, 2 * least), pruned), wall(mean, likely), wall(most, float(epochs)))


def share_epochs(search: SearchConfig, epochs: int, trials: int, depths: int) -> int:
    """Epochs that all trials of one depth together are expected to read; 0 where nothing is to be shared."""
    return (
        0 if search.feature_cache == "off" else max(1, round(expected_epochs(search, epochs) * trials / max(1, depths)))
    )
