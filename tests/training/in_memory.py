"""The training loop on images in memory: no files to scan, no plots, no run folder but for its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.augment import TrainAugment
from raytl.data.loader import EvalLoader, TrainLoader
from raytl.data.manifest import Sample
from raytl.data.step_source import StepSource
from raytl.events import EpochEnded, Event, Recorder, StageOpened
from raytl.models.backbone import Backbone, build
from raytl.tasks.classification.targets import LabelEncoder
from raytl.tasks.registry import task_named
from raytl.tasks.task import Objective, Validation
from raytl.training import checkpoint
from raytl.training.average import WeightAverage
from raytl.training.checkpoint import Checkpoint, Progress
from raytl.training.loop import RunWriter, epochs
from raytl.training.objectives.objective import StepObjective
from raytl.training.objectives.supervised import Supervised
from raytl.training.plan import depth_of
from raytl.training.stages import timeline
from raytl.training.steps import TrainContext
from raytl.training.validate import ValSplit
from raytl.world import World

CLASSES = ("0", "1", "2")
_CPU = torch.device("cpu")


@dataclass
class Fitted:
    """The outputs of a run in memory: events, metrics by epoch without times, progress, and checkpoints."""

    events: list[Event]
    records: list[dict[str, Any]] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    checkpoints: list[Path] = field(default_factory=list)

    @property
    def stages(self) -> list[StageOpened]:
        """The stages that opened."""
        return [event for event in self.events if isinstance(event, StageOpened)]

    @property
    def losses(self) -> list[float]:
        """The training loss of each epoch."""
        return [event.metrics["train/loss"] for event in self.events if isinstance(event, EpochEnded)]


def fit(
    experiment: Experiment,
    folder: Path,
    resume: Checkpoint | None = None,
    count: int = 24,
    objective: Objective | None = None,
    step: Callable[[Backbone, Objective], StepObjective] | None = None,
    beside: Callable[[int], Sequence[StepSource]] = lambda px: (),
) -> Fitted:
    """Train `experiment` on `count` noisy squares as this process's only worker; checkpoints go into `folder`.

    `objective` replaces that of the experiment's task, and `step` makes that of the step from the network and it; `beside`
    gives other sources of images of a size.
    """
    torch.manual_seed(experiment.train.seed)
    torch.use_deterministic_algorithms(experiment.train.deterministic)
    backbone = build(experiment.model, len(CLASSES))
    px = backbone.preprocess.image_px
    images, targets = squares(count, px)
    task, encoder = task_named(experiment.task), LabelEncoder(targets)
    labels = objective or task.objective(experiment, CLASSES, _samples(targets))
    watcher = Recorder()
    fitted = Fitted(watcher.events)
    context = TrainContext(
        experiment=experiment,
        world=World.solo(),
        device=_CPU,
        precision=torch.float32,
        channels_last=False,
        preprocess=backbone.preprocess,
        loader=TrainLoader(
            images,
            encoder,
            TrainAugment(experiment.augment, backbone.preprocess),
            batch=experiment.train.batch_size,
            seed=experiment.train.seed,
            world=World.solo(),
            beside=beside(px),
        ),
        objective=step(backbone, labels) if step else Supervised(labels),
        average=WeightAverage(experiment.optim.ema) if experiment.optim.ema is not None else None,
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        emit=watcher,
    )
    stages = timeline(experiment.transfer, depth_of(experiment, backbone), experiment.train.epochs)
    batches = EvalLoader(images, backbone.preprocess, batch=8, world=World.solo())
    split = ValSplit(task, batches, encoder, CLASSES)
    fitted.progress += epochs(context, backbone, stages, split, _writer(fitted, folder), resume)
    return fitted


def squares(
    count: int, px: int
) -> tuple[list[np.ndarray[Any, np.dtype[np.uint8]]], np.ndarray[Any, np.dtype[np.int64]]]:
    """`count` noisy squares of `px`, brighter in the channel of their class; and their classes."""
    draw = np.random.default_rng(0)
    targets = np.arange(count) % len(CLASSES)
    images = draw.integers(0, 120, size=(count, px, px, 3))
    images[np.arange(count), :, :, targets] += 80
    return list(images.astype(np.uint8)), targets


def _samples(targets: np.ndarray[Any, np.dtype[np.int64]]) -> list[Sample]:
    return [Sample(f"{i}.png", f"{i}.png", CLASSES[target]) for i, target in enumerate(targets)]


def _writer(fitted: Fitted, folder: Path) -> RunWriter:
    def record(values: Mapping[str, float | str]) -> None:
        clocks = ("seconds", "images_per_s")
        fitted.records.append({key: value for key, value in values.items() if not key.endswith(clocks)})

    def best(module: torch.nn.Module, _: Validation, __: int) -> None:
        fitted.best = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    def last(state: Checkpoint) -> None:
        fitted.checkpoints.append(folder / f"{len(fitted.checkpoints):03d}")
        checkpoint.save(fitted.checkpoints[-1], state)

    return RunWriter(record=record, best=best, last=last)
