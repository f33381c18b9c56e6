"""The code that each worker runs: warm up, build the network, load the last checkpoint, open the images, train."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from raytl.config.adapt import AFTER_TRAINING
from raytl.data.cache import open_images
from raytl.data.loader import EvalLoader, TrainLoader
from raytl.events import Message, OnEvent, ignore
from raytl.models.backbone import Backbone
from raytl.models.forward import EVAL_BATCH, pick_precision
from raytl.run.folder import RunFolder
from raytl.run.run_store import RunStore
from raytl.run.uploader import Uploader
from raytl.tasks.soft_targets import SoftTargetObjective
from raytl.tasks.task import Objective
from raytl.training import checkpoint
from raytl.training.after_training import adapt_best
from raytl.training.allocator import retain_freed_memory
from raytl.training.average import WeightAverage
from raytl.training.fallback import fall_back, may_fall_back, solved_head
from raytl.training.job import TrainJob
from raytl.training.loop import Outcome, RunWriter, epochs
from raytl.training.network import build_network, card_of, channels_last
from raytl.training.objectives.build import step_objective
from raytl.training.objectives.objective import StepObjective
from raytl.training.objectives.small_loss import left_out_note
from raytl.training.plan import depth_of
from raytl.training.rank import device_of, loader_workers, open_run_store, seed_everything
from raytl.training.run_writer import run_writer
from raytl.training.stages import TrainStage, timeline
from raytl.training.step_sources import labelled_batch, step_sources, target_style
from raytl.training.steps import PauseRequested, TrainBatches, TrainContext
from raytl.training.teachers import load_teachers
from raytl.training.validate import EvalBatches, ValSplit
from raytl.training.warmup.worker import warmed_up
from raytl.worker_status import Paused
from raytl.world import World


@dataclass(frozen=True)
class LoadedRun:
    """A run on this rank whose network is on its device; the top `depth` stages learn in the end.

    `resume` is its last checkpoint; `uploader` sends checkpoints to its bucket (None for a folder, and on other ranks).
    """

    world: World
    job: TrainJob
    emit: OnEvent
    device: torch.device
    precision: torch.dtype
    backbone: Backbone
    depth: int
    run_store: RunStore
    uploader: Uploader | None
    resume: checkpoint.Checkpoint | None


@dataclass(frozen=True)
class CachedFeatures:
    """The top of a network and its inputs, for training without the frozen part below it.

    `backbone` holds the top's stages (the same parameters as in the whole network); the batches hold the activations
    that enter it. `description` is a phrase for reports.
    """

    backbone: Backbone
    train: TrainBatches
    val: EvalBatches
    description: str


@dataclass(frozen=True)
class PreparedRun:
    """A run on this rank that is ready to train. `features` describes the cached features that it uses, or is `none`."""

    context: TrainContext
    backbone: Backbone
    stages: tuple[TrainStage, ...]
    validation: ValSplit
    writer: RunWriter
    resume: checkpoint.Checkpoint | None
    features: str = "none"
    uploader: Uploader | None = None

    @property
    def trainable(self) -> int:
        """Number of parameters that learn in the end."""
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
        """Train, and yield the progress after each epoch."""
        return epochs(self.context, self.backbone, self.stages, self.validation, self.writer, self.resume)

    def flush(self) -> None:
        """Wait until all checkpoints are uploaded.

        Raises:
            StoreError: an upload failed.
        """
        if self.uploader is not None:
            self.uploader.flush()

    def close(self) -> None:
        """Stop the loader processes, and wait until all checkpoints are uploaded.

        Raises:
            StoreError: an upload failed.
        """
        self.context.loader.close()
        if self.uploader is not None:
            self.uploader.close()


def train_worker(world: World, job: TrainJob, emit: OnEvent) -> Outcome | Paused:
    """Warm up and train `job` on rank `world.rank`, from its last checkpoint if there is one."""
    try:
        job = warmed_up(world, job, emit)
    except PauseRequested:
        return Paused()
    loaded = load_run(world, job, emit)
    run = prepare(loaded)
    try:
        outcome = run.fit()
        if world.is_main and (note := left_out_note(run.context.objective.records, len(loaded.job.train))):
            emit(Message(note))
        if may_fall_back(loaded.job, loaded.backbone):
            fall_back(loaded.job, run.context, loaded.backbone, run.validation, run.writer, loaded.run_store.folder)
        if loaded.job.experiment.adapt.method in AFTER_TRAINING:
            adapt_best(loaded.job, run.context, loaded.backbone, run.validation, run.writer, loaded.run_store.folder)
        return outcome
    except PauseRequested:
        return Paused()
    finally:
        run.close()


def load_run(world: World, job: TrainJob, emit: OnEvent) -> LoadedRun:
    """Build the network of `job` on this rank's device, load the last checkpoint, and initialize the head of a new run."""
    experiment = job.experiment
    job = job.with_changes().on_this_node(emit if world.is_main else ignore)
    device = device_of(experiment)
    if device.type == "cpu":
        retain_freed_memory()
    seed_everything(experiment)
    backbone = build_network(job, device)
    depth = depth_of(experiment, backbone)
    run_store, uploader = open_run_store(world, job, emit, device)
    resume = checkpoint.load(run_store.folder.last)
    if job.probe:
        _install_probe(job, backbone, depth)
    elif resume is None and world.is_main:  # DDP broadcasts rank 0's weights to the others
        _start_head(job, backbone, depth, run_store.folder, emit)
    precision = pick_precision(experiment.train.precision, device)
    return LoadedRun(world, job, emit, device, precision, backbone, depth, run_store, uploader, resume)


def prepare(run: LoadedRun, features: CachedFeatures | None = None, *, tensorboard: bool = True) -> PreparedRun:
    """Open the batches of `run` (cached `features` or images) and return it ready to train."""
    job, backbone, transfer = run.job, run.backbone, run.job.experiment.transfer
    context = _context(run, features)
    folder, card = run.run_store.folder, card_of(job, backbone)
    return PreparedRun(
        context=context,
        backbone=features.backbone if features else backbone,
        stages=timeline(transfer, run.depth, job.experiment.train.epochs),
        validation=_validation(run, features),
        writer=run_writer(folder, backbone.module, card, run.uploader, tensorboard=tensorboard),
        resume=run.resume,
        features=features.description if features else "none",
        uploader=run.uploader,
    )


def _install_probe(job: TrainJob, backbone: Backbone, depth: int) -> None:
    run_store = RunStore(job.probe, s3=job.s3)
    run_store.fetch()
    solver = job.task.head_solver
    assert solver is not None, "a job has a solved head only if its task can solve one"
    solver.install(backbone, solver.load(run_store.folder.root), depth)


def _start_head(job: TrainJob, backbone: Backbone, depth: int, folder: RunFolder, emit: OnEvent) -> None:
    experiment = job.experiment
    if experiment.transfer.head_start == "solved":
        solver = job.task.head_solver
        assert solver is not None, "`Task.check` rejects head_start: solved"
        solver.install(backbone, solved_head(job, backbone, folder, emit), depth)
    elif experiment.transfer.head_start == "weights":
        new = job.task.inherit_head(backbone, experiment.model.weights, job.classes, job.s3)
        suffix = f"; new: {', '.join(new)}" if new else ""
        emit(Message(f"the head continues from {experiment.model.weights}{suffix}"))
    else:
        job.task.start_head(backbone, job.classes, job.train)


def _context(run: LoadedRun, features: CachedFeatures | None) -> TrainContext:
    experiment, backbone = run.job.experiment, run.backbone
    ema = experiment.optim.ema
    return TrainContext(
        experiment=experiment,
        world=run.world,
        device=run.device,
        precision=run.precision,
        channels_last=channels_last(experiment, backbone),
        preprocess=backbone.preprocess,
        loader=features.train if features else _train_loader(run),
        objective=_objective(run),
        average=WeightAverage(ema) if ema is not None else None,
        scaler=torch.amp.GradScaler(run.device.type, enabled=run.precision == torch.float16),
        emit=run.emit,
    )


def _objective(run: LoadedRun) -> StepObjective:
    return step_objective(run.job, run.backbone, _labels(run), run.device)


def _labels(run: LoadedRun) -> Objective:
    """Return the loss of the job's labels, on the answers of its teachers too if it has any."""
    job = run.job
    labels = job.task.objective(job.experiment, job.classes, job.train)
    if not job.teachers:
        return labels
    teachers = load_teachers(job.teachers, job.classes, run.backbone.preprocess, run.device)
    return SoftTargetObjective(labels, teachers)


def _train_loader(run: LoadedRun) -> TrainLoader:
    job, train, data = run.job, run.job.experiment.train, run.job.experiment.data
    task, preprocess = job.task, run.backbone.preprocess
    emit = run.emit if run.world.is_main else ignore
    return TrainLoader(
        open_images(job.train, preprocess, data, emit, s3=job.s3),
        task.encoder(job.train, job.classes, preprocess, job.files),
        task.augment(job.experiment.augment, preprocess),
        batch=labelled_batch(job.experiment),
        seed=train.seed,
        world=run.world,
        weights=task.sampling_weights(job.train, job.classes) if train.sampler == "balanced" else None,
        workers=loader_workers(job.experiment, run.device, run.world),
        pinned=run.device.type == "cuda",
        channels=preprocess.channels,
        beside=step_sources(job, preprocess, emit),
        style=target_style(job, preprocess, emit),
    )


def _validation(run: LoadedRun, features: CachedFeatures | None) -> ValSplit:
    job, preprocess = run.job, run.backbone.preprocess
    return ValSplit(
        task=job.task,
        batches=features.val if features is not None else _val_loader(run),
        encoder=job.task.encoder(job.val, job.classes, preprocess, job.files),
        classes=job.classes,
    )


def _val_loader(run: LoadedRun) -> EvalLoader:
    images = open_images(run.job.val, run.backbone.preprocess, run.job.experiment.data, s3=run.job.s3)
    return EvalLoader(images, run.backbone.preprocess, batch=EVAL_BATCH[run.device.type], world=run.world)
