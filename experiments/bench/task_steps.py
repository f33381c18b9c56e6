"""Compare raytl's training steps of each task with plain loops on tensors in memory: of its network, and of torchvision's.

    python -m experiments.bench.task_steps                    # about 10 minutes on two cores
    python -m experiments.bench.task_steps --tasks detection --rounds 1

Both loops train the same network, with the same objective and optimizer and one thread, on drawn scenes. The plain loop has
its normalized batches in memory; raytl decodes, augments and loads them in one loader process. torchvision has FCOS and Mask
R-CNN of the same layers on the same images in memory, with its own transform, losses and SGD, in the precision of the others:
the loop of its reference scripts. All take turns, round by round; the table shows the medians of images/s.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import torch
import torchvision

from experiments.bench import torchvision_models
from experiments.scenes.draw import scene
from experiments.scenes.files import FORMATS
from raytl.config.schema import Experiment
from raytl.events import ignore
from raytl.models.forward import to_input
from raytl.models.freeze import apply_freeze
from raytl.tasks.defaults import completed
from raytl.tasks.detection import network as detection
from raytl.tasks.instances import network as instances
from raytl.tasks.objects import Objects
from raytl.training.checkpoint import Progress
from raytl.training.job import TrainJob
from raytl.training.objectives.supervised import Supervised
from raytl.training.phase import Phase, open_phase
from raytl.training.plan import make_plan
from raytl.training.steps import TrainContext, train_epoch
from raytl.training.worker import PreparedRun, load_run, prepare
from raytl.world import World

SOURCES = {"multilabel": "labels", "segmentation": "masks", "detection": "coco", "instances": "coco"}
REFERENCES = {
    "detection": (detection.build, torchvision_models.fcos, 0),
    "instances": (instances.build, torchvision_models.mask_rcnn, 1),
}
"""For each task raytl's network, torchvision's detector on it, and the label of the first class."""
RATE = 1e-4
"""Without pretrained weights, the rate of the reference scripts diverges."""
IMAGES, BATCH, SIDE_PX = 96, 8, 256


def main() -> None:
    """Measure the tasks of the command line and print a table."""
    args = _arguments()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, one thread, {IMAGES} scenes at {SIDE_PX} px, "
        f"batches of {BATCH}, {args.model}; images/s"
    )
    print(
        "| task | plain loop | raytl | raytl / plain | torchvision | raytl / torchvision |\n|---|---|---|---|---|---|"
    )
    for task in args.tasks:
        rates = _rates(task, args.model, args.rounds)
        plain, ours, reference = (rates.get(side) for side in ("plain", "raytl", "torchvision"))
        assert plain and ours
        compared = f"{reference:.1f} | {ours / reference:.2f}" if reference else "– | –"
        print(f"| {task} | {plain:.1f} | {ours:.1f} | {ours / plain:.2f} | {compared} |", flush=True)


def _rates(task: str, model: str, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, closing(_run(task, model, Path(folder))) as run:
        context = run.context
        phase = open_phase(
            run.backbone, run.stages[-1], run.stages, context.experiment, World.solo(), context.device, None
        )
        batches = list(_batches(context))
        sides: dict[str, Callable[[int], int]] = {
            "plain": lambda _: _plain(context, phase, batches),
            "raytl": lambda epoch: _raytl(context, phase, epoch),
        }
        if task in REFERENCES:
            sides["torchvision"] = _torchvision(task, run)
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(rounds + 1):  # the first round warms up
            for side, train in sides.items():
                taken[side].append(_timed(train, number))
        return {side: statistics.median(rates[1:]) for side, rates in taken.items()}


def _torchvision(task: str, run: PreparedRun) -> Callable[[int], int]:
    """Return an epoch of torchvision's reference training on the images of the first epoch."""
    context, depth = run.context, run.stages[-1].depth
    build, create, first_label = REFERENCES[task]
    classes = run.validation.classes
    network = build(context.experiment.model, classes)
    apply_freeze(network, depth)
    model = create(network, len(classes), SIDE_PX, SIDE_PX)
    model.to(memory_format=torch.channels_last if context.channels_last else torch.contiguous_format).train()
    optimizer = torchvision_models.sgd(model, RATE)
    views = [
        ([image.float() / 255 for image in batch.images], [_target(view, first_label) for view in batch.targets.views])
        for batch, _ in context.loader.epoch(0)
    ]

    def epoch(_: int) -> int:
        for images, targets in views:
            torchvision_models.step(model, optimizer, images, targets, context.precision)
        return sum(len(images) for images, _ in views)

    return epoch


def _target(objects: Objects, first_label: int) -> dict[str, torch.Tensor]:
    target = {"boxes": objects.boxes, "labels": objects.labels + first_label}
    return target if objects.masks is None else {**target, "masks": objects.masks}


def _run(task: str, model: str, folder: Path) -> PreparedRun:
    drawn = {"train": IMAGES, "val": 8}
    numbers = iter(range(IMAGES + 8))
    splits = {
        split: [scene(0, next(numbers), sides=(SIDE_PX, SIDE_PX)) for _ in range(count)]
        for split, count in drawn.items()
    }
    data = folder / "scenes"
    FORMATS[SOURCES[task]](splits, data)
    experiment = completed(
        Experiment(
            name="steps",
            recipe="none",
            task=task,
            data={
                "uri": str(data / "labels.csv" if task == "multilabel" else data),
                "test_fraction": 0.0,
                "loader_workers": 1,
            },
            model={"name": model, "weights": "none", "preprocess": {"image_px": SIDE_PX}},
            train={"batch_size": BATCH, "checkpoint_every_s": 1e9},
            compute={"cluster": "none", "device": "cpu"},
            storage={"uri": str(folder / "runs")},
        )
    )
    dataset = make_plan(experiment, ignore).dataset
    job = TrainJob(experiment, str(folder / "run"), dataset.splits.train, dataset.splits.val, dataset.splits.classes)
    return prepare(load_run(World.solo(), job, ignore), tensorboard=False)


def _batches(context: TrainContext) -> Iterator[tuple[torch.Tensor, object, torch.Tensor, int]]:
    for batch, count in context.loader.epoch(0):
        inputs = to_input(batch.images, context.preprocess, context.device, context.channels_last)
        yield inputs, batch.targets, batch.ids, count


def _plain(context: TrainContext, phase: Phase, batches: list[tuple[torch.Tensor, object, torch.Tensor, int]]) -> int:
    """Train on the batches with a loop as one writes it by hand; return the number of images."""
    phase.module.train()
    parameters = phase.parameters()

    def forward(*values: object) -> object:
        with torch.autocast(context.device.type, context.precision, enabled=context.precision != torch.float32):
            return phase.module(*values)

    assert isinstance(context.objective, Supervised)
    labels = context.objective.labels
    for inputs, targets, ids, count in batches:
        loss = labels(forward, inputs, targets, ids) / (labels.normalizer(targets) or count)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        phase.optimizer.step()
        phase.optimizer.zero_grad(set_to_none=True)
        loss.item()
    return sum(count for *_, count in batches)


def _raytl(context: TrainContext, phase: Phase, epoch: int) -> int:
    return train_epoch(context, phase, Progress(epoch=epoch), lambda _: None).progress.seen


def _timed(train: Callable[[int], int], epoch: int) -> float:
    started = time.perf_counter()
    images = train(epoch)
    return images / (time.perf_counter() - started)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--model", default="mobilenetv2_100")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
