"""The trainings of `gpu`: raytl's own path (plan, worker, loop) on drawn photos in a folder, without Ray."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from raytl.config.schema import Experiment
from raytl.events import Event, OnEvent, Step, ignore
from raytl.training import checkpoint, steps
from raytl.training.checkpoint import Checkpoint
from raytl.training.job import TrainJob
from raytl.training.plan import make_plan
from raytl.training.worker import PreparedRun, load_run, prepare
from raytl.world import World

CLASSES = 4


@dataclass(frozen=True)
class Case:
    """One training below `folder`, of `model` at `px` on photos in `folder/photos`."""

    folder: Path
    name: str
    model: str
    px: int
    batch: int
    device: str
    precision: str = "fp32"
    epochs: int = 1
    lr: float = 3e-4
    deterministic: bool = True
    compile: bool = False
    loader_workers: int | str = 0
    checkpoint_every_s: float = 1e9

    def named(self, name: str, **changes: object) -> Case:
        """Return the case with another run folder and these changes."""
        return replace(self, name=name, **changes)  # type: ignore[arg-type]

    @property
    def experiment(self) -> Experiment:
        """The experiment: all of the network learns from random weights, without dropout or later stages."""
        return Experiment.model_validate(
            {
                "name": self.name,
                "recipe": "none",
                "data": {
                    "uri": str(self.folder / "photos"),
                    "loader_workers": self.loader_workers,
                    "test_fraction": 0.0,
                },
                "model": {"name": self.model, "weights": "none", "preprocess": {"image_px": self.px}},
                "transfer": {"unfreeze": "all", "head_first": 0},
                "optim": {"lr": self.lr, "warmup": 0, "clip_norm": 1.0},
                "train": {
                    "epochs": self.epochs,
                    "batch_size": self.batch,
                    "early_stop": 0,
                    "precision": self.precision,
                    "deterministic": self.deterministic,
                    "compile": self.compile,
                    "checkpoint_every_s": self.checkpoint_every_s,
                },
                "compute": {"cluster": "none", "device": self.device},
                "storage": {"uri": str(self.folder / "runs")},
            }
        )

    @property
    def run_folder(self) -> Path:
        """The folder of its run."""
        return self.folder / "runs" / self.name


def draw_photos(root: Path, train: int, val: int, px: int) -> None:
    """Write noisy JPEGs of `px`, tinted by their class, in folders of classes under `root/train` and `root/val`."""
    draw = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            label = number % CLASSES
            coarse = draw.integers(0, 150, (8, 8, 3))
            coarse[..., label % 3] += 60 if label < 3 else 0
            folder = root / split / f"class-{label}"
            folder.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(coarse.astype(np.uint8)).resize((px, px), Image.Resampling.BICUBIC)
            image.save(folder / f"{split}-{number:05d}.jpg", quality=90)


def job(case: Case) -> TrainJob:
    """Return the job of `case`, after the checks before a training."""
    splits = make_plan(case.experiment, ignore).dataset.splits
    case.run_folder.mkdir(parents=True, exist_ok=True)
    return TrainJob(case.experiment, str(case.run_folder), splits.train, splits.val, splits.classes)


def prepared(case: Case, emit: OnEvent = ignore, world: World | None = None) -> PreparedRun:
    """Return the run of `case`, ready to train from its last checkpoint if it has one."""
    return prepare(load_run(world or World.solo(), job(case), emit), tensorboard=False)


class Interrupted(Exception):
    """Raised by a watcher in the middle of a training."""


def interrupt_at(epoch: int, step: int) -> OnEvent:
    """Return a watcher that raises `Interrupted` when the loss of this step, counted from 1, is known."""

    def watch(event: Event) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (epoch, step):
            raise Interrupted

    return watch


def fit(case: Case, watch: OnEvent = ignore) -> list[float]:
    """Train `case` to its end; return the loss of each step."""
    losses: list[float] = []

    def emit(event: Event) -> None:
        if isinstance(event, Step):
            losses.append(event.loss)
        watch(event)

    with every_step(), closing(prepared(case, emit)) as run:
        run.fit()
    return losses


@contextlib.contextmanager
def every_step() -> Iterator[None]:
    """Let each step of the block be an event."""
    before, steps.EVENT_EVERY_S = steps.EVENT_EVERY_S, 0.0
    try:
        yield
    finally:
        steps.EVENT_EVERY_S = before


def last_checkpoint(case: Case) -> Checkpoint:
    """Return the last checkpoint of the run of `case`."""
    found = checkpoint.load(case.run_folder / "checkpoints" / "last")
    assert found is not None, f"{case.run_folder} has no checkpoint"
    return found


def differing(one: Checkpoint, other: Checkpoint) -> list[str]:
    """Return the names of weights and optimizer states that are not equal to the bit."""
    pairs = [("model", one.model, other.model)]
    pairs += [(name, one.optimizer[name], other.optimizer[name]) for name in one.optimizer]
    return [
        f"{place}.{key}"
        for place, mine, others in pairs
        for key in mine
        if not torch.equal(torch.as_tensor(mine[key]), torch.as_tensor(others[key]))
    ]
