"""Compare raytl's training steps of each task with a plain loop of the same network on tensors in memory.

    python -m experiments.bench.task_steps                    # about 10 minutes on two cores
    python -m experiments.bench.task_steps --tasks detection --rounds 1

Both loops train the same network, with the same objective and optimizer and one thread, on drawn scenes. The plain loop has
its normalized batches in memory; raytl decodes, augments and loads them in one loader process. They take turns, round by
round; the table shows the medians of images/s.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import torch

from experiments.scenes.draw import scene
from experiments.scenes.files import FORMATS
from raytl.config.schema import Experiment
from raytl.events import ignore
from raytl.models.forward import to_input
from raytl.tasks.defaults import completed
from raytl.training.checkpoint import Progress
from raytl.training.job import TrainJob
from raytl.training.phase import Phase, open_phase
from raytl.training.plan import make_plan
from raytl.training.steps import TrainContext, train_epoch
from raytl.training.worker import PreparedRun, load_run, prepare
from raytl.world import World

SOURCES = {"multilabel": "labels", "segmentation": "masks", "detection": "coco", "instances": "coco-polygons"}
IMAGES, BATCH, SIDE_PX = 96, 8, 256


def main() -> None:
    """Measure the tasks of the command line and print a table."""
    args = _arguments()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {IMAGES} scenes at {SIDE_PX} px, batches of {BATCH}, {args.model}")
    print("| task | plain loop, images/s | raytl, images/s | raytl / plain |\n|---|---|---|---|")
    for task in args.tasks:
        plain, ours = _rates(task, args.model, args.rounds)
        print(f"| {task} | {plain:.1f} | {ours:.1f} | {ours / plain:.2f} |", flush=True)


def _rates(task: str, model: str, rounds: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder, closing(_run(task, model, Path(folder))) as run:
        phase = open_phase(
            run.backbone, run.stages[-1], run.stages, run.context.experiment, World.solo(), run.context.device, None
        )
        batches = list(_batches(run.context))
        plain, ours = [], []
        for number in range(rounds + 1):  # the first round warms up
            plain.append(_timed(lambda: _plain(run.context, phase, batches)))
            ours.append(_timed(lambda epoch=number: _raytl(run.context, phase, epoch)))  # type: ignore[misc]
        return statistics.median(plain[1:]), statistics.median(ours[1:])


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

    for inputs, targets, ids, count in batches:
        loss = context.objective(forward, inputs, targets, ids) / (context.objective.normalizer(targets) or count)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        phase.optimizer.step()
        phase.optimizer.zero_grad(set_to_none=True)
        loss.item()
    return sum(count for *_, count in batches)


def _raytl(context: TrainContext, phase: Phase, epoch: int) -> int:
    progress, _ = train_epoch(context, phase, Progress(epoch=epoch), lambda _: None)
    return progress.seen


def _timed(run: object) -> float:
    started = time.perf_counter()
    images = run()  # type: ignore[operator]
    return images / (time.perf_counter() - started)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--model", default="mobilenetv2_100")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
