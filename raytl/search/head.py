"""The head solved once for a whole sweep: where trials start from, so that none of them pays for it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from raytl.events import Message, OnEvent, ignore
from raytl.models import probe
from raytl.models.backbone import build
from raytl.models.forward import pick_device
from raytl.search.executor import TrialExecutor
from raytl.search.trial import SweepJob
from raytl.training.allocator import keep_freed_memory
from raytl.training.head import solve_head


def solved_head(job: SweepJob, folder: Path, executor: TrialExecutor, on_event: OnEvent) -> SweepJob:
    """`job` with its head solved and saved under `folder`, on a machine of the cluster; a head that is there is kept."""
    target = folder / "head"
    if not (target / probe.CARD).exists():
        on_event(Message("solving the head once for all trials"))
        here = (
            executor.cluster in ("none", "local") and not executor.shape.gpus
        )  # with all its cores, and no process to start
        solved = solve(job, on_event) if here else _on_cluster(job, executor)
        probe.save(solved, target)
        on_event(
            Message(f"linear probe: {_scores(solved, job.experiment.search.metrics[0])}, in {solved.seconds:.1f} s")
        )
    return replace(job, probe=str(target.resolve()))


def solve(job: SweepJob, on_event: OnEvent = ignore) -> probe.Probe:
    """The head of `job`'s model, solved in this process."""
    job = job.on_this_node()
    experiment = job.experiment
    device = pick_device(experiment.compute.device)
    if device.type == "cpu":
        keep_freed_memory()
    backbone = build(experiment.model, len(job.classes), job.s3).reading(job.bit_depth)
    layout = torch.channels_last if backbone.convolutional else torch.contiguous_format
    backbone.module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    return solve_head(experiment, backbone, job.train, job.val, job.classes, on_event)


def _scores(solved: probe.Probe, metric: str) -> str:
    found = solved.scores[solved.best.strength]
    shown = dict.fromkeys((metric, "val/log_loss"))
    return ", ".join(f"{name} {found[name]:.4f}" for name in shown if name in found)


def _on_cluster(job: SweepJob, executor: TrialExecutor) -> probe.Probe:
    import ray

    solver = ray.remote(num_cpus=executor.shape.cpus, num_gpus=executor.shape.gpus)(solve)
    solved: probe.Probe = ray.get(solver.remote(job))
    return solved
