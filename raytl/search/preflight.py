"""The plan of a sweep and its cost: measured by a few training steps at each depth, and projected by arithmetic."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from raytl.config.search import SearchConfig
from raytl.config.space import Space
from raytl.models.backbone import Backbone
from raytl.models.forward import pick_device, pick_precision
from raytl.models.freeze import apply_freeze
from raytl.models.prefix import NotTraceable, SplitModel, split_model, suffix_backbone
from raytl.search.budget import idle_budget
from raytl.search.grid import grid_points, is_grid
from raytl.search.image_scale import area_ratio, measured_at
from raytl.search.inputs import SweepInputs, sweep_job
from raytl.search.methods import METHODS
from raytl.search.passes import Passes, passes
from raytl.search.plan import CostEstimate, DepthCost, SweepPlan, TrialShape
from raytl.search.shape import Node, fitting, trial_shape
from raytl.search.summary import total_of
from raytl.search.trial import epochs_of, refit_epochs_of
from raytl.training.allocator import retain_freed_memory
from raytl.training.job import TrainJob

_GB = 1e9
_BATCH = 16
_STEPS = 2
_SLACK = 1.5
"""Asynchronous halving promotes some trials that a full rung would have stopped; this factor was measured."""
_START_S = 2.0


def sweep_plan(inputs: SweepInputs, cluster: Sequence[Node], done: int, add: int) -> SweepPlan:
    """Return the plan of the sweep on the nodes of `cluster`, `done` trials of which ended before."""
    experiment, search = inputs.experiment, inputs.experiment.search
    shape = trial_shape(experiment.compute, cluster)
    fit = fitting(shape, cluster)
    total, epochs = total_of(inputs.folder, search, add, _points(inputs)), epochs_of(experiment)
    trials = max(total.trials, done)
    device = pick_device(experiment.compute.device)
    depths = depths_of(inputs.space, inputs.base, inputs.stages)
    job, precision = sweep_job(inputs), pick_precision(experiment.train.precision, device)
    costs = depth_costs(job, depths, device, precision, passes(job.experiment, inputs.space))
    growth = area_ratio(inputs)
    refit = refit_epochs_of(experiment)
    wall, in_turn = (
        projected(costs, trials - done, concurrency, search, epochs, refit, growth)
        for concurrency in (fit.concurrency, 1)
    )
    cache_bytes = _cache_bytes(inputs.space, [cost.cache_bytes for cost in costs])
    return SweepPlan(
        name=experiment.name,
        folder=str(inputs.folder),
        images=inputs.plan.dataset.splits.images,
        classes=len(inputs.plan.dataset.splits.classes),
        space=tuple((dimension.key, dimension.text) for dimension in inputs.space.dimensions),
        metrics=search.metrics,
        sampler=search.sampler,
        scheduler=search.scheduler,
        trials=trials,
        done=done,
        max_epochs=epochs,
        shape=shape,
        cluster_cpus=sum(node.cpus for node in cluster),
        cluster_gpus=sum(node.gpus for node in cluster),
        concurrency=fit.concurrency,
        arithmetic=fit.arithmetic,
        depths=costs,
        cache_bytes=cache_bytes,
        wall_s=wall,
        gpu_hours=gpu_hours(in_turn, shape),
        warnings=(
            *inputs.plan.warnings,
            *_cache_warning(cache_bytes, experiment.data.cache_limit_gb),
            *filter(None, [idle_budget(search.budget, shape)]),
        ),
        measured_at=measured_at(inputs),
        prior=inputs.prior.text if inputs.prior else "",
        refit_epochs=None if refit == epochs else refit,
    )


def gpu_hours(in_turn: CostEstimate, shape: TrialShape) -> CostEstimate:
    """Return the GPU-hours of runs that take so many seconds one after the other; GPUs without a run count for nothing."""
    gpus = shape.workers * shape.gpus / 3600
    return CostEstimate(in_turn.low * gpus, in_turn.likely * gpus, in_turn.high * gpus)


def _points(inputs: SweepInputs) -> int | None:
    """Return the number of points of the grid; None with every other sampler."""
    search = inputs.experiment.search
    return len(grid_points(inputs.space, inputs.base, search.seed)) if is_grid(search.sampler) else None


def _cache_bytes(space: Space, by_depth: list[int]) -> int:
    """Return the bytes of cached features if every depth is trained at every augmentation strength."""
    strengths = next((len(d.choices) or 1 for d in space.dimensions if d.key == "augment.strength"), 1)
    return strengths * sum(by_depth)


def _cache_warning(cache_bytes: int, limit_gb: float) -> list[str]:
    if cache_bytes <= limit_gb * _GB:
        return []
    return [
        f"cached features may take {cache_bytes / _GB:.1f} GB; data.cache_limit_gb is {limit_gb:g}: the least recently "
        "used are evicted"
    ]


def depth_costs(
    job: TrainJob, depths: Sequence[int], device: torch.device, precision: torch.dtype, beside: Passes
) -> tuple[DepthCost, ...]:
    """Return the cost of a trial at each of `depths`, measured by steps on random images of the right size."""
    if device.type == "cpu":
        retain_freed_memory()
    with torch.random.fork_rng(devices=[]):
        model = job.experiment.model.model_copy(update={"weights": "none"})
        backbone = job.task.build(model, job.classes, job.s3)
        layout = torch.channels_last if backbone.convolutional else torch.contiguous_format
        backbone.module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        images = torch.randn(_BATCH, backbone.preprocess.channels, *backbone.preprocess.view_size, device=device).to(
            memory_format=layout
        )
        forward_s = _forward(backbone.module, images, precision)
        return tuple(_cost(job, backbone, depth, images, forward_s, precision, beside) for depth in depths)


def _cost(
    job: TrainJob,
    backbone: Backbone,
    depth: int,
    images: torch.Tensor,
    forward_s: float,
    precision: torch.dtype,
    beside: Passes,
) -> DepthCost:
    apply_freeze(backbone, depth)
    train, val = (sum(len(getattr(each, split)) for each in job.folds or (job,)) for split in ("train", "val"))
    sizes, size = list(backbone.sizes.values()), backbone.preprocess.view_size
    trainable = sum(sizes[len(sizes) - 1 - depth :])
    split = _split(backbone, depth) if job.feature_seed is not None and beside.plain else None
    step_s = 0.0 if split is not None and beside.plain == 1 else _step(job, backbone.module, images, size, precision)
    plain_s, val_s, cache_bytes, build_s = step_s, forward_s, 0, 0.0
    if split is not None:
        with torch.no_grad(), _autocast(images.device, precision):
            inputs = split.prefix(images)
        network = suffix_backbone(backbone, split).module
        rows = job.experiment.search.views * train + val
        cache_bytes, build_s = rows * inputs.shape[1] * inputs.element_size(), rows * forward_s
        val_s = _forward(network, inputs, precision)
        plain_s = _step(job, network, inputs, size, precision)
    of_val = beside.plain * val_s + (1 - beside.plain + beside.turned) * forward_s
    epoch_s = (beside.plain * plain_s + (beside.mean - beside.plain) * step_s) * train + of_val * val
    most_s = (
        epoch_s if beside.plain == 1 else beside.high * step_s * train + (1 + bool(beside.turned)) * forward_s * val
    )
    return DepthCost(depth, trainable, epoch_s, cache_bytes > 0, cache_bytes, build_s, most_s)


def _split(backbone: Backbone, depth: int) -> SplitModel | None:
    """Return the network split at `depth`; None if nothing is frozen, or it cannot be split."""
    if depth >= len(backbone.stages):
        return None
    with contextlib.suppress(NotTraceable):
        return split_model(backbone, depth)
    return None


def _step(
    job: TrainJob, network: nn.Module, inputs: torch.Tensor, size: tuple[int, int], precision: torch.dtype
) -> float:
    """Return the seconds of a forward and backward pass per image; the first step warms up."""
    network.train()
    targets, ids = job.task.blank_targets(job.classes, len(inputs), size), torch.arange(len(inputs))
    objective = job.task.objective(job.experiment, job.classes, job.train)

    def forward(*values: Any) -> Any:
        with _autocast(inputs.device, precision):
            return network(*values)

    times = []
    for _ in range(_STEPS + 1):
        started = time.perf_counter()
        loss = objective(forward, inputs, targets, ids)
        loss.backward()
        loss.item()
        times.append(time.perf_counter() - started)
        network.zero_grad(set_to_none=True)
    return statistics.median(times[1:]) / len(inputs)


@torch.no_grad()
def _forward(network: nn.Module, inputs: torch.Tensor, precision: torch.dtype) -> float:
    """Return the seconds of a forward pass per image."""
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
    """Return the unfreeze depths that trials may have."""
    for dimension in space.dimensions:
        if dimension.key == "transfer.unfreeze":
            if dimension.kind == "choice":
                return tuple(sorted({stages if value == "all" else int(value) for value in dimension.choices}))
            return tuple(range(int(dimension.low), int(dimension.high) + 1))
    fixed = base["transfer.unfreeze"]
    return (stages if fixed == "all" else int(fixed),)


def expected_epochs(search: SearchConfig, epochs: int) -> float:
    """Return the mean epochs of a trial if each rung promotes one in `reduction` (Li et al. 2020, ASHA)."""
    if search.scheduler == "none":
        return float(epochs)
    total, rung, fraction = 0.0, 0, 1.0
    next_rung = search.grace_epochs
    while rung < epochs:
        end = min(next_rung, epochs)
        total += fraction * (end - rung)
        rung, fraction, next_rung = end, fraction / search.reduction, end * search.reduction
    return total


def projected(
    costs: Sequence[DepthCost],
    trials: int,
    concurrency: int,
    search: SearchConfig,
    epochs: int,
    refit_epochs: int,
    growth: float = 1.0,
) -> CostEstimate:
    """Return the wall seconds of `trials` trials and the replicates, `concurrency` at a time, and of the refit.

    An epoch of the last two takes `growth` times as long as one of a trial.
    """
    mean = statistics.fmean(cost.epoch_s for cost in costs)
    fastest, slowest = min(cost.epoch_s for cost in costs), max(cost.most_s for cost in costs)
    pruned = expected_epochs(search, epochs)
    likely = min(float(epochs), pruned * _SLACK)
    top = search.replicates.top
    repeated_trials = top + (top > 0 and not METHODS.keys().isdisjoint(search.space or ()))  # one more: with_simplest
    replicates = repeated_trials * (search.replicates.seeds - (growth == 1))
    build = sum(cost.build_s for cost in costs) / concurrency

    refit = refit_epochs * mean / (search.folds or 1)

    def wall(epoch_s: float, trial_epochs: float) -> float:
        runs = math.ceil(trials / concurrency) * (trial_epochs * epoch_s + _START_S / 10)
        repeated = math.ceil(replicates / concurrency) * epochs * epoch_s
        return runs + growth * (repeated + refit) + build + _START_S

    return CostEstimate(wall(min(mean, 2 * fastest), pruned), wall(mean, likely), wall(slowest, float(epochs)))
