"""What each worker runs: build the model, open the images, go on from the last checkpoint, train."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.config.schema import Experiment
from raytl.data.augment import TrainAugment
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.data.cache import open_images
from raytl.data.loader import EvalLoader, TrainLoader, auto_workers
from raytl.data.local_paths import on_this_node
from raytl.data.manifest import Sample
from raytl.data.mix import mix
from raytl.data.shard import class_weights
from raytl.data.targets import encode_targets
from raytl.events import Message, OnEvent, ignore
from raytl.metrics.confusion import cells_of
from raytl.models import probe
from raytl.models.backbone import Backbone, build
from raytl.models.bundle import Card, save_bundle
from raytl.models.forward import EVAL_BATCH, pick_device, pick_precision
from raytl.models.heads import inherit
from raytl.run import journal
from raytl.run.atomic import atomic_dir, write_json
from raytl.run.folder import RunFolder
from raytl.run.run_store import RunStore
from raytl.run.uploader import Uploader
from raytl.store.lease import WriteToken
from raytl.store.s3_settings import S3Settings
from raytl.tasks.classification import loss
from raytl.training import checkpoint
from raytl.training.agree import total
from raytl.training.allocator import keep_freed_memory
from raytl.training.average import WeightAverage
from raytl.training.checkpoint import forget_after
from raytl.training.head import solve_head
from raytl.training.loop import Outcome, RunWriter, epochs
from raytl.training.plan import depth_of
from raytl.training.scalars import write_scalars
from raytl.training.stages import TrainStage, timeline
from raytl.training.steps import PauseRequested, TrainBatches, TrainContext
from raytl.training.validate import EvalBatches, Validation
from raytl.worker_status import Paused
from raytl.world import World

BEST_SCORE = "validation.json"


@dataclass(frozen=True)
class Job:
    """What the workers are given: the experiment, the run folder and the samples that training may see; where they write in a
    bucket, `lease` names the run's own, and `right` that of another run."""

    experiment: Experiment
    root: str
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    classes: tuple[str, ...]
    write_token: WriteToken | None = None
    bit_depth: BitDepth = SIXTEEN_BITS
    lease: WriteToken | None = None


@dataclass(frozen=True)
class Shared:
    """The top of a network to be trained alone, as what lies below it stays frozen and was computed before.

    `backbone` holds the top's stages, the very parameters of the whole network; its loaders give the activations
    that enter it, and `told` says so in a word.
    """

    backbone: Backbone
    train: TrainBatches
    val: EvalBatches
    told: str


class Share(Protocol):
    """Finds the shared part of a network of which the top `depth` stages learn; None where sharing does not pay."""

    def __call__(self, backbone: Backbone, depth: int, precision: torch.dtype) -> Shared | None: ...


@dataclass(frozen=True)
class Ready:
    """A run made ready on this rank: everything that the loop needs. `shared` tells what it does not compute itself,
    `uploads` takes its checkpoints to the store where they are kept in one."""

    context: TrainContext
    backbone: Backbone
    stages: tuple[TrainStage, ...]
    validation: tuple[EvalBatches, NDArray[np.int64]]
    classes: int
    writer: RunWriter
    resume: checkpoint.Checkpoint | None
    shared: str = "none"
    uploads: Uploader | None = None

    @property
    def trainable(self) -> int:
        """Parameters that learn in the end."""
        sizes = list(self.backbone.sizes.values())
        return sum(sizes[len(sizes) - 1 - self.stages[-1].depth :])

    def fit(self) -> Outcome:
        """Train to the end."""
        progress = self.resume.progress if self.resume else checkpoint.Progress()
        for after in self.epochs():
            progress = after
        assert progress.best is not None, "at least one epoch was trained"
        return Outcome(progress.best, progress.epoch, early_stopped=progress.stopped)

    def epochs(self) -> Iterator[checkpoint.Progress]:
        """Train an epoch at a time."""
        return epochs(self.context, self.backbone, self.stages, self.validation, self.classes, self.writer, self.resume)

    def flush(self) -> None:
        """Waits until the checkpoints are stored as they are now.

        Raises:
            StoreError: they are not.
        """
        if self.uploads is not None:
            self.uploads.flush()

    def close(self) -> None:
        """Ends the loader processes, and waits until the checkpoints are stored.

        Raises:
            StoreError: they are not.
        """
        self.context.loader.close()
        if self.uploads is not None:
            self.uploads.close()


def train_worker(world: World, job: Job, emit: OnEvent) -> Outcome | Paused:
    """Train `job` as rank `world.rank`, from its last checkpoint where there is one."""
    made = prepare(world, job, emit)
    try:
        return made.fit()
    except PauseRequested:
        return Paused()
    finally:
        made.close()


def prepare(
    world: World,
    job: Job,
    emit: OnEvent,
    *,
    start: Callable[[Backbone, int], None] | None = None,
    share: Share | None = None,
    record: Callable[[RunFolder, Mapping[str, float | str]], None] | None = None,
) -> Ready:
    """`job` made ready on rank `world.rank`: `start` puts a head into a new network, given how many stages learn; `share`
    finds what was computed before, `record` writes an epoch's metrics (the journal and TensorBoard by default)."""
    experiment = job.experiment
    s3 = S3Settings.of(experiment.storage)
    job = _on_this_node(job, emit if world.is_main else ignore)
    device = _device(experiment)
    if device.type == "cpu":
        keep_freed_memory()
    _seed(experiment)
    backbone = build(experiment.model, len(job.classes), s3).reading(job.bit_depth)
    depth = depth_of(experiment, backbone)
    if start is not None:
        start(backbone, depth)
    layout = torch.channels_last if _channels_last(experiment, backbone) else torch.contiguous_format
    backbone.module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    run_store, uploads = _home(world, job, emit, device)
    resume = checkpoint.load(run_store.folder.last)
    if start is None and resume is None and experiment.transfer.head_start == "solved" and world.is_main:
        # the others get it when DDP sends them rank 0's weights
        solved = solve_head(experiment, backbone, job.train, job.val, job.classes, emit)
        probe.install(backbone, solved.start(depth))
    if start is None and resume is None and experiment.transfer.head_start == "weights" and world.is_main:
        new = inherit(backbone, experiment.model.weights, job.classes, s3)
        told = f"; new: {', '.join(new)}" if new else ""
        emit(Message(f"the head goes on from {experiment.model.weights}{told}"))
    precision = pick_precision(experiment.train.precision, device)
    shared = share(backbone, depth, precision) if share is not None else None
    context = _setting(world, job, backbone, device, emit, shared)
    return Ready(
        context=context,
        backbone=shared.backbone if shared else backbone,
        stages=timeline(experiment.transfer, depth, experiment.train.epochs),
        validation=_validation(world, job, backbone, device, shared),
        classes=len(job.classes),
        writer=_writer(run_store.folder, job, backbone, record or _record, uploads),
        uploads=uploads,
        resume=resume,
        shared=shared.told if shared else "none",
    )


def _home(world: World, job: Job, emit: OnEvent, device: torch.device) -> tuple[RunStore, Uploader | None]:
    """The run's folder on this node, the same on all: rank 0 first stores what only its node has, then the others fetch."""
    run_store, uploads = RunStore(job.root, write_token=job.write_token, s3=S3Settings.of(job.experiment.storage)), None
    if world.is_main:
        run_store.fetch()
        uploads = run_store.uploader(emit, job.lease)
        forget_after(run_store.folder)
        if uploads is not None:
            uploads.upload_pending()
    total(world, [0.0], device, "having fetched the run's folder")
    if not world.is_main:
        run_store.fetch()
    return run_store, uploads


def _on_this_node(job: Job, emit: OnEvent) -> Job:
    data, s3 = job.experiment.data, S3Settings.of(job.experiment.storage)
    here = partial(on_this_node, uri=data.uri, on_event=emit, zip_encoding=data.zip_encoding, s3=s3)
    return replace(job, train=here(job.train), val=here(job.val))


def _channels_last(experiment: Experiment, backbone: Backbone) -> bool:
    asked = experiment.train.channels_last
    return backbone.convolutional if asked == "auto" else asked


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


def _setting(
    world: World, job: Job, backbone: Backbone, device: torch.device, emit: OnEvent, shared: Shared | None
) -> TrainContext:
    experiment = job.experiment
    train = experiment.train
    precision = pick_precision(train.precision, device)
    return TrainContext(
        experiment=experiment,
        world=world,
        device=device,
        precision=precision,
        channels_last=_channels_last(experiment, backbone),
        preprocess=backbone.preprocess,
        loader=shared.train if shared else _train_loader(world, job, backbone, device, emit),
        loss=loss(train, _counts(job)),
        mix=mix(experiment.augment, len(job.classes)),
        average=WeightAverage(experiment.optim.ema) if experiment.optim.ema is not None else None,
        scaler=torch.amp.GradScaler(device.type, enabled=precision == torch.float16),
        emit=emit,
    )


def _counts(job: Job) -> dict[str, int]:
    labels = [sample.label for sample in job.train]
    return {name: labels.count(name) for name in job.classes}


def _train_loader(world: World, job: Job, backbone: Backbone, device: torch.device, emit: OnEvent) -> TrainLoader:
    experiment, targets = job.experiment, encode_targets(job.train, job.classes)
    say = emit if world.is_main else ignore
    return TrainLoader(
        open_images(job.train, backbone.preprocess, experiment.data, say, S3Settings.of(experiment.storage)),
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
    return auto_workers(device.type, len(os.sched_getaffinity(0)) / world.local_size) if asked == "auto" else asked


def _validation(
    world: World, job: Job, backbone: Backbone, device: torch.device, shared: Shared | None
) -> tuple[EvalBatches, NDArray[np.int64]]:
    targets = encode_targets(job.val, job.classes)
    if shared is not None:
        return shared.val, targets
    images = open_images(job.val, backbone.preprocess, job.experiment.data, s3=S3Settings.of(job.experiment.storage))
    return EvalLoader(images, targets, backbone.preprocess, batch=EVAL_BATCH[device.type], world=world), targets


def _writer(
    folder: RunFolder,
    job: Job,
    backbone: Backbone,
    record: Callable[[RunFolder, Mapping[str, float | str]], None],
    uploads: Uploader | None,
) -> RunWriter:
    """What the loop writes; the best checkpoint is of the whole network, also where only its top is trained."""
    card = Card(backbone.name, job.classes, backbone.preprocess, backbone.weights_digest)

    def stored(path: Path) -> None:
        if uploads is not None:
            uploads.submit(path.relative_to(folder.root).as_posix())

    def best(_: torch.nn.Module, result: Validation, epoch: int) -> None:
        _best(folder, card, backbone.module, result, epoch)
        stored(folder.best)

    def last(state: checkpoint.Checkpoint) -> None:
        checkpoint.save(folder.last, state)
        stored(folder.last)

    return RunWriter(record=lambda values: record(folder, values), best=best, last=last)


def _best(folder: RunFolder, card: Card, module: torch.nn.Module, result: Validation, epoch: int) -> None:
    score = {"epoch": epoch + 1, "metrics": result.metrics, "confusion": cells_of(result.confusion)}
    with atomic_dir(folder.best) as temporary:
        save_bundle(temporary, module, card)
        write_json(temporary / BEST_SCORE, score)


def _record(folder: RunFolder, record: Mapping[str, float | str]) -> None:
    journal.append(folder.metrics, record)
    scores = {name: value for name, value in record.items() if isinstance(value, float)}
    write_scalars(folder.tensorboard, scores, int(record["epoch"]))
