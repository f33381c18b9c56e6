"""The linear probe that all trials of a sweep start from, solved once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from raytl.events import Message, OnEvent, ignore
from raytl.models import probe
from raytl.models.backbone import build
from raytl.models.forward import pick_device
from raytl.search.executor import TrialExecutor
from raytl.training.allocator import retain_freed_memory
from raytl.training.head import solve_head
from raytl.training.job import TrainJob


def solved_head(job: TrainJob, folder: Path, executor: TrialExecutor, on_event: OnEvent) -> TrainJob:
    """Return `job` with the location of its solved head; solve it on a node of the cluster, unless `folder` has it already."""
    target = folder / "head"
    if not (target / probe.CARD).exists():
        on_event(Message("solving the linear probe, once for all trials"))
        # in this process it has all cores, and no other process has to start
        is_local = executor.cluster in ("none", "local") and not executor.shape.gpus
        solved = solve(job, on_event) if is_local else _on_cluster(job, executor)
        probe.save(solved, target)
        on_event(
            Message(f"linear probe: {_scores(solved, job.experiment.search.metrics[0])}, in {solved.seconds:.1f} s")
        )
    return replace(job, probe=str(target.resolve()))


def solve(job: TrainJob, on_event: OnEvent = ignore) -> probe.Probe:
    """Solve the head of the model of `job` in this process."""
    job = job.on_this_node()
    experiment = job.experiment
    device = pick_device(experiment.compute.device)
    if device.type == "cpu":
        retain_freed_memory()
    backbone = build(experiment.model, len(job.classes), job.s3).reading(job.bit_depth)
    layout = torch.channels_last if backbone.convolutional else torch.contiguous_format
    backbone.module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    return solve_head(experiment, backbone, job.train, job.val, job.classes, on_event)


def _scores(solved: probe.Probe, metric: str) -> str:
    scores = solved.scores[solved.best.strength]
    names = dict.fromkeys((metric, "val/log_loss"))
    return ", ".join(f"{name} {scores[name]:.4f}" for name in names if name in scores)


def _on_cluster(job: TrainJob, executor: TrialExecutor) -> probe.Probe:
    import ray

    solver = ray.remote(num_cpus=executor.shape.cpus, num_gpus=executor.shape.gpus)(solve)
    solved: probe.Probe = ray.get(solver.remote(job))
    return solved
