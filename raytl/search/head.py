"""The linear probe that all trials of a sweep start from, solved once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from raytl.cluster.session import STARTED_HERE
from raytl.events import Message, OnEvent, ignore
from raytl.models.forward import pick_device
from raytl.search.executor import TrialExecutor
from raytl.tasks.task import HeadSolver
from raytl.training.allocator import retain_freed_memory
from raytl.training.job import TrainJob
from raytl.training.network import build_network


def solved_head(job: TrainJob, target: Path, executor: TrialExecutor, on_event: OnEvent) -> TrainJob:
    """Return `job` with the location of its solved head; solve it on a node of the cluster, unless it lies in `target`."""
    solver = _solver(job)
    if not solver.is_saved(target):
        on_event(Message("solving the linear probe, once for all trials"))
        started = time.monotonic()
        # in this process it has all cores, and no other process has to start
        is_local = executor.is_here or (executor.cluster in STARTED_HERE and not executor.shape.gpus)
        solved = solve(job, on_event) if is_local else _on_cluster(job, executor)
        solver.save(solved, target)
        on_event(Message(f"linear probe: {_text(solver.scores(solved), job)}, in {time.monotonic() - started:.1f} s"))
    return replace(job, probe=str(target.resolve()))


def solve(job: TrainJob, on_event: OnEvent = ignore) -> Any:
    """Solve the head of the model of `job` in this process."""
    job = job.with_changes().on_this_node()
    experiment = job.experiment
    device = pick_device(experiment.compute.device)
    if device.type == "cpu":
        retain_freed_memory()
    backbone = build_network(job, device)
    return _solver(job).solve(experiment, backbone, job.train, job.val, job.classes, on_event)


def _solver(job: TrainJob) -> HeadSolver:
    solver = job.task.head_solver
    assert solver is not None, "the plan of a sweep rejects search.linear_probe"
    return solver


def _text(scores: Mapping[str, float], job: TrainJob) -> str:
    names = dict.fromkeys((job.experiment.search.metrics[0], f"val/{job.task.tie_breaker}"))
    return ", ".join(f"{name} {scores[name]:.4f}" for name in names if name in scores)


def _on_cluster(job: TrainJob, executor: TrialExecutor) -> Any:
    import ray

    solver = ray.remote(num_cpus=executor.shape.cpus, num_gpus=executor.shape.gpus)(solve)
    return ray.get(solver.remote(job))
