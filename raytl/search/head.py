"""The head solved once for a whole sweep, on features of the frozen network: where trials start from (LP-FT, Kumar et al.
2022), so that none of them pays for it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from raytl.data.cache import open_images
from raytl.data.loader import EvalLoader
from raytl.data.manifest import Sample
from raytl.events import Message, OnEvent
from raytl.models.backbone import Backbone, build
from raytl.models.forward import EVAL_BATCH, pick_device, pick_precision
from raytl.search import probe
from raytl.search.execute import Engine
from raytl.search.trial import SweepJob
from raytl.tasks.classification import class_weights
from raytl.training.allocator import keep_freed_memory
from raytl.world import World


def solved_head(job: SweepJob, folder: Path, engine: Engine, on_event: OnEvent) -> SweepJob:
    """`job` with its head solved and saved under `folder`, on a machine of the cluster; a head that is there is kept."""
    target = folder / "head"
    if not (target / probe.CARD).exists():
        on_event(Message("solving the head once for all trials"))
        solved = solve(job) if engine.cluster == "none" else _on_cluster(job, engine)
        probe.save(solved, target)
        best = solved.scores[solved.strength][job.experiment.search.metrics[0]]
        on_event(Message(f"linear probe: {job.experiment.search.metrics[0]} {best:.4f}, in {solved.seconds:.1f} s"))
    return replace(job, probe=str(target.resolve()))


def solve(job: SweepJob) -> probe.Probe:
    """The head of `job`'s model, solved in this process on the evaluation views of the training images."""
    experiment = job.experiment
    device = pick_device(experiment.compute.device)
    if device.type == "cpu":
        keep_freed_memory()
    backbone = build(experiment.model, len(job.classes))
    layout = torch.channels_last if backbone.convolutional else torch.contiguous_format
    backbone.module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    precision = pick_precision(experiment.train.precision, device)
    (train, targets), (val, val_targets) = (
        probe.head_inputs(backbone, _loader(job, samples, backbone, device), device, precision)
        for samples in (job.train, job.val)
    )
    counts = {name: sum(sample.label == name for sample in job.train) for name in job.classes}
    return probe.solve(
        train,
        targets,
        val,
        val_targets,
        len(job.classes),
        weights=class_weights(experiment.train, counts),
        label_smoothing=experiment.train.label_smoothing,
        intercept=probe.head_layer(backbone).bias is not None,
        metric=experiment.search.metrics[0],
    )


def _loader(job: SweepJob, samples: tuple[Sample, ...], backbone: Backbone, device: torch.device) -> EvalLoader:
    numbers = {name: number for number, name in enumerate(job.classes)}
    images = open_images(samples, backbone.preprocess, job.experiment.data)
    targets = [numbers[sample.label] for sample in samples]
    return EvalLoader(images, targets, backbone.preprocess, batch=EVAL_BATCH[device.type], world=World.solo())


def _on_cluster(job: SweepJob, engine: Engine) -> probe.Probe:
    import ray

    solver = ray.remote(num_cpus=engine.shape.cpus, num_gpus=engine.shape.gpus)(solve)
    solved: probe.Probe = ray.get(solver.remote(job))
    return solved
