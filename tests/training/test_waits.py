"""No step waits: its operations on the device need no value on the host, and the host reads a step's loss a step later.

The device is torch's `meta`, which computes shapes alone: what needs a value of it on the host (`item`, `nonzero`, a mask as
an index, a copy) raises.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.data.loader import Batch
from raytl.data.manifest import Sample
from raytl.events import ignore
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.defaults import completed
from raytl.tasks.registry import task_named
from raytl.training import step_log
from raytl.training.average import WeightAverage
from raytl.training.checkpoint import Progress
from raytl.training.objectives.supervised import Supervised
from raytl.training.phase import open_phase
from raytl.training.plan import depth_of
from raytl.training.stages import timeline
from raytl.training.steps import TrainContext, train_epoch
from raytl.world import World
from tests.training.scenes import toy_task

META, CLASSES, STEPS, BATCH = torch.device("meta"), ("a", "b", "c"), 3, 4


class Copies(TorchDispatchMode):
    """Counts the copies between devices for which the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.blocking = Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in ("aten::_to_copy", "aten::copy_"):
            source = args[0] if name == "aten::_to_copy" else args[1]
            asynchronous = (kwargs or {}).get("non_blocking", args[2] if len(args) > 2 else False)
            if source.device.type != result.device.type and not asynchronous:
                self.blocking[f"{name} {tuple(source.shape)} {source.device} to {result.device}"] += 1
        return result


@dataclass
class Blank:
    """`STEPS` batches of blank images, on the host."""

    images: Tensor
    targets: Any
    steps: int = STEPS

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Batch, int]]:
        for _ in range(start_step, self.steps):
            yield Batch(self.images, torch.arange(len(self.images)), self.targets), len(self.images)

    def close(self) -> None: ...


def context(experiment: Experiment, device: torch.device, scaled: bool) -> tuple[TrainContext, Any]:
    """Return the context of `experiment` on blank images, with scaled gradients as fp16 has, and its last phase."""
    task = task_named(experiment.task)
    backbone = task.build(experiment.model, CLASSES, ENVIRONMENT)
    backbone.module.to(device)
    size = backbone.preprocess.view_size
    samples = [Sample(f"{name}.png", f"{name}.png", name) for name in CLASSES]
    stages = timeline(experiment.transfer, depth_of(experiment, backbone), experiment.train.epochs)
    made = TrainContext(
        experiment=experiment,
        world=World.solo(),
        device=device,
        precision=torch.float32,
        channels_last=False,
        preprocess=backbone.preprocess,
        loader=Blank(torch.zeros(BATCH, 3, *size, dtype=torch.uint8), task.blank_targets(CLASSES, BATCH, size)),
        objective=Supervised(
            task.objective(experiment, CLASSES, samples if experiment.task == "classification" else ())
        ),
        average=WeightAverage(0.9),
        scaler=torch.amp.GradScaler("cpu", enabled=scaled),
        emit=ignore,
    )
    phase = open_phase(backbone, stages[-1], stages, experiment, made.world, device, None)
    assert made.average is not None
    made.average.track(phase.tracked_tensors())
    return made, phase


class OnMeta:
    """The order in which steps were added and read."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def start(self, world: World, numbers: Tensor, of: str) -> Any:
        assert numbers.device == META and numbers.shape == (3,)
        step = of.split()[-1]
        self.order.append(f"step {step}")

        def read() -> list[float]:
            self.order.append(f"read {step}")
            return [1.0, 0.0, 0.0]

        return type("Read", (), {"read": staticmethod(read)})()


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> OnMeta:
    """Let the device be `meta`: no autocast, and an optimizer that is not fused."""
    made = OnMeta()
    monkeypatch.setattr(step_log, "start_readback", made.start)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    adamw = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *values, fused, **options: adamw(*values, foreach=True, **options))
    return made


@contextlib.contextmanager
def no_tensors_of_lists() -> Iterator[None]:
    """Let `torch.tensor` fail on the device: it copies, and waits."""
    real = torch.tensor

    def tensor(*values: Any, device: Any = None, **options: Any) -> Tensor:
        assert device is None or torch.device(device).type == "cpu", "torch.tensor on a GPU copies, and waits"
        made: Tensor = real(*values, **options)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "tensor", tensor)
        yield


RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "mixed": ("classification", {"augment.mixup": 0.4, "augment.cutmix": 1.0, "train.label_smoothing": 0.1}),
    "focal": ("classification", {"train.loss": "focal", "train.class_weights": {"a": 2.0}, "train.accumulate": 2}),
    "fp16": ("classification", {"optim.name": "lion"}),
    "multilabel": ("multilabel", {"train.class_weights": {"a": 2.0}}),
    "segmentation": ("segmentation", {}),
}


@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=[pytest.mark.thorough] * (name != "mixed")) for name in RECIPES]
)
def test_the_host_never_waits_for_the_device_in_a_step(recipe: str, tmp_path: Path, on_meta: OnMeta) -> None:
    task, changes = RECIPES[recipe]
    experiment = completed(override(toy_task(task, tmp_path, tmp_path), {"optim.clip_norm": 1.0, **changes}))
    made, phase = context(experiment, META, scaled=recipe == "fp16")
    train_epoch(made, phase, Progress(), lambda _: None)  # copies constants, once
    on_meta.order.clear()
    with Copies() as copies, no_tensors_of_lists():
        done = train_epoch(made, phase, Progress(epoch=1), lambda _: None)
    assert copies.blocking == {}
    assert on_meta.order == ["step 1", "step 2", "read 1", "step 3", "read 2", "read 3"]
    assert (done.progress.step, done.progress.loss_sum, done.progress.seen) == (3, 3.0, 3 * BATCH)


@pytest.mark.parametrize("value", [lambda loss: loss.item(), lambda loss: loss.tolist(), lambda loss: loss.cpu()])
def test_the_device_of_these_tests_notices_a_host_that_waits(value: Any) -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        value(torch.ones((), device=META))
