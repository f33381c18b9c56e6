"""What each worker runs: build the model, open the images, go on from the last checkpoint, train."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.config.schema import Experiment
from raytl.data.augment import TrainAugment
from raytl.data.cache import open_images
from raytl.data.loader import EvalLoader, TrainLoader, auto_workers
from raytl.data.manifest import Sample
from raytl.data.mix import mix
from raytl.data.shard import class_weights
from raytl.events import OnEvent, ignore
from raytl.models.backbone import Backbone, build
from raytl.models.bundle import Card, save_bundle
from raytl.models.forward import EVAL_BATCH, pick_device, pick_precision
from raytl.run import journal
from raytl.run.atomic import replace_dir, write_json
from raytl.run.folder import RunFolder
from raytl.tasks.classification import loss
from raytl.training import checkpoint
from raytl.training.average import WeightAverage
from raytl.training.loop import Outcome, Sink, fit
from raytl.training.plan import depth_of
from raytl.training.stages import timeline
from raytl.training.steps import Setting
from raytl.training.validate import Validation
from raytl.world import World

BEST_SCORE = "validation.json"


@dataclass(frozen=True)
class Job:
    """What the workers are given: the experiment, the run folder and the samples that training may see."""

    experiment: Experiment
    root: str
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    classes: tuple[str, ...]


def train_worker(world: World, job: Job, emit: OnEvent) -> Outcome:
    """Train `job` as rank `world.rank`, from its last checkpoint where there is one."""
    experiment = job.experiment
    device = _device(experiment)
    _seed(experiment)
    backbone = build(experiment.model, len(job.classes))
    setting = _setting(world, job, backbone, device, emit)
    backbone.module.to(device)
    if setting.channels_last:
        backbone.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    stages = timeline(experiment.transfer, depth_of(experiment, backbone), experiment.train.epochs)
    validation = _validation(world, job, backbone, device)
    resume = checkpoint.load(RunFolder(Path(job.root)).last)
    try:
        return fit(setting, backbone, stages, validation, len(job.classes), _sink(job, backbone), resume)
    finally:
        setting.loader.close()


def _device(experiment: Experiment) -> torch.device:
    device = pick_device(experiment.compute.device)
    return torch.device("cuda", torch.cuda.current_device()) if device.type == "cuda" else device


def _seed(experiment: Experiment) -> None:
    seed = experiment.train.seed
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if experiment.train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    else:
        torch.backends.cudnn.benchmark = True


def _setting(world: World, job: Job, backbone: Backbone, device: torch.device, emit: OnEvent) -> Setting:
    experiment = job.experiment
    train = experiment.train
    precision = pick_precision(train.precision, device)
    return Setting(
        experiment=experiment,
        world=world,
        device=device,
        precision=precision,
        channels_last=backbone.convolutional if train.channels_last == "auto" else train.channels_last,
        preprocess=backbone.preprocess,
        loader=_train_loader(world, job, backbone, device, emit),
        loss=loss(train, _counts(job)),
        mix=mix(experiment.augment, len(job.classes)),
        average=WeightAverage(experiment.optim.ema) if experiment.optim.ema is not None else None,
        scaler=torch.amp.GradScaler(device.type, enabled=precision == torch.float16),
        emit=emit,
    )


def _counts(job: Job) -> dict[str, int]:
    labels = [sample.label for sample in job.train]
    return {name: labels.count(name) for name in job.classes}


def _targets(job: Job, samples: tuple[Sample, ...]) -> list[int]:
    numbers = {name: number for number, name in enumerate(job.classes)}
    return [numbers[sample.label] for sample in samples]


def _train_loader(world: World, job: Job, backbone: Backbone, device: torch.device, emit: OnEvent) -> TrainLoader:
    experiment, targets = job.experiment, _targets(job, job.train)
    say = emit if world.leads else ignore
    return TrainLoader(
        open_images(job.train, backbone.preprocess, experiment.data, say),
        targets,
        TrainAugment(experiment.augment, backbone.preprocess),
        batch=experiment.train.batch_size,
        seed=experiment.train.seed,
        world=world,
        weights=class_weights(targets, len(job.classes)) if experiment.train.sampler == "balanced" else None,
        workers=_loader_workers(experiment, device, world),
    )


def _loader_workers(experiment: Experiment, device: torch.device, world: World) -> int:
    asked = experiment.data.loader_workers
    return auto_workers(device.type, len(os.sched_getaffinity(0)) / world.size) if asked == "auto" else asked


def _validation(
    world: World, job: Job, backbone: Backbone, device: torch.device
) -> tuple[EvalLoader, NDArray[np.int64]]:
    targets = np.array(_targets(job, job.val), dtype=np.int64)
    images = open_images(job.val, backbone.preprocess, job.experiment.data)
    return EvalLoader(images, targets, backbone.preprocess, batch=EVAL_BATCH[device.type], world=world), targets


def _sink(job: Job, backbone: Backbone) -> Sink:
    folder = RunFolder(Path(job.root))
    card = Card(backbone.name, job.classes, backbone.preprocess, backbone.weights_digest)
    return Sink(
        record=lambda record: _record(folder, record),
        best=lambda module, result, epoch: _best(folder, card, module, result, epoch),
        last=lambda state: checkpoint.save(folder.last, state),
    )


def _best(folder: RunFolder, card: Card, module: torch.nn.Module, result: Validation, epoch: int) -> None:
    temporary = folder.best.with_name(f".{folder.best.name}.tmp")
    save_bundle(temporary, module, card)
    score = {"epoch": epoch + 1, "metrics": result.metrics, "confusion": result.confusion.tolist()}
    write_json(temporary / BEST_SCORE, score)
    replace_dir(temporary, folder.best)


def _record(folder: RunFolder, record: Mapping[str, float | str]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    journal.append(folder.metrics, record)
    epoch = int(record["epoch"])
    writer = SummaryWriter(str(folder.tensorboard), purge_step=epoch)
    for name, value in record.items():
        if isinstance(value, float):
            writer.add_scalar(name, value, epoch)
    writer.close()
