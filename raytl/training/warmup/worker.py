"""The warm-up on each worker: from `model.weights` to the network that training starts from, saved in a run below the run.

It trains as a run does, with the same steps, checkpoints and events; what differs is the objective, the batches and that no
validation ends an epoch. A killed run resumes within it, and a finished warm-up is read from its folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from raytl.config.dump import to_yaml
from raytl.config.schema import Experiment, OptimConfig
from raytl.data.cache import open_images
from raytl.data.step_source import StepSource
from raytl.data.transforms import Preprocess
from raytl.errors import NonFiniteLoss
from raytl.events import WARM_UP, Message, OnEvent, ignore
from raytl.models.backbone import Backbone
from raytl.models.card import CARD
from raytl.models.forward import pick_precision
from raytl.models.probe import head_layer
from raytl.models.saved_model import save_model
from raytl.run.atomic import atomic_dir, write_text
from raytl.run.folder import WARMUP, RunFolder
from raytl.run.mirror import BEST
from raytl.run.run_store import RunStore
from raytl.run.uploader import Uploader
from raytl.training import checkpoint
from raytl.training.allocator import retain_freed_memory
from raytl.training.checkpoint import Progress, restore_optimizer
from raytl.training.job import TrainJob
from raytl.training.loop import RunWriter, restore, saver
from raytl.training.network import build_network, card_of, channels_last
from raytl.training.objectives.contrastive import Contrastive, projector
from raytl.training.objectives.joint import FeatureTap
from raytl.training.phase import Phase, open_phase
from raytl.training.plan import depth_of
from raytl.training.rank import device_of, fetch_after_main, loader_workers, open_run_store, seed_everything
from raytl.training.run_writer import run_writer
from raytl.training.stages import TrainStage
from raytl.training.steps import PauseRequested, TrainContext, train_epoch
from raytl.training.warmup.batches import PairLoader
from raytl.training.warmup.images import WarmupImages, warmup_images
from raytl.world import World

RISE = 0.1
"""Fraction of the epochs in which the learning rate rises, as 10 of 100 in Chen et al. 2020."""


def warmed_up(world: World, job: TrainJob, emit: OnEvent) -> TrainJob:
    """Return `job` with the folder of its warmed network on this node; warm it up, or resume that, unless it is there.

    Raises:
        NonFiniteLoss: the loss became NaN or infinite.
        PauseRequested: the machines are about to be reclaimed; the progress was saved.
    """
    if job.experiment.warmup.method == "none":
        return job
    device, run_store = device_of(job.experiment), job.run_store()
    _fetch(world, run_store, device)
    if not (run_store.folder.warmup.best / CARD).exists():
        _warm_up_below(world, job, emit, device)
        _fetch(world, run_store, device)
    return replace(job, warmed=str(run_store.folder.warmup.root))


def _fetch(world: World, run_store: RunStore, device: torch.device) -> None:
    """Update the working copy of the run on each node."""
    if world.is_main:
        run_store.fetch()
    fetch_after_main(world, run_store, device)


def _warm_up_below(world: World, job: TrainJob, emit: OnEvent, device: torch.device) -> None:
    """Warm up in a run below that of `job`. In a bucket, it has a working copy that belongs to this owner of the run, so that
    none of an earlier run of this name is resumed."""
    if device.type == "cpu":
        retain_freed_memory()
    seed_everything(job.experiment)
    below = replace(job, location=f"{job.location}/{WARMUP}", is_guest=True)
    run_store, uploader = open_run_store(world, below, emit, device)
    try:
        _warm_up(world, job, run_store.folder, uploader, emit if world.is_main else ignore)
    finally:
        if uploader is not None:
            uploader.close()
        run_store.leave()


def warmup_experiment(experiment: Experiment) -> Experiment:
    """Return the experiment with the length, the batches and the optimizer of its warm-up as those of training."""
    warmup, optim = experiment.warmup, experiment.optim
    own = optim if optim.name == "adamw" else OptimConfig()  # rates of another optimizer say nothing of AdamW's
    lr = own.lr if warmup.lr is None else warmup.lr
    steady = {"name": "adamw", "lr": lr, "weight_decay": own.weight_decay, "momentum": own.momentum}
    steady |= {"schedule": "cosine", "warmup": RISE * warmup.epochs, "ema": None}
    length = {"epochs": warmup.epochs, "batch_size": warmup.batch_size, "accumulate": 1, "compile": False}
    return experiment.model_copy(
        update={"optim": optim.model_copy(update=steady), "train": experiment.train.model_copy(update=length)}
    )


def _warm_up(world: World, job: TrainJob, folder: RunFolder, uploader: Uploader | None, emit: OnEvent) -> None:
    """Train to the end, from the last checkpoint if there is one, and save the network."""
    job = job.with_changes().on_this_node(emit)
    if world.is_main:
        write_text(folder.experiment, to_yaml(job.experiment))
    job = replace(job, experiment=warmup_experiment(job.experiment))
    backbone = build_network(job, device_of(job.experiment))
    context, card = _context(world, job, backbone, emit), card_of(job, backbone)
    writer = run_writer(folder, backbone.module, card, uploader, tensorboard=False)
    try:
        _opened(context, backbone, writer, folder).run()
    except NonFiniteLoss as error:
        raise NonFiniteLoss(
            f"warm-up: {error}\n  Its learning rate is warmup.lr; without it, optim.lr of adamw, or 1e-3."
        ) from error
    finally:
        context.loader.close()
    if world.is_main:
        world.status.begin("saving the network of the warm-up")
        world.status.wait_for_driver()
        with atomic_dir(folder.best) as draft:
            save_model(draft, backbone.module, card)
        if uploader is not None:
            uploader.submit(BEST)


def _context(world: World, job: TrainJob, backbone: Backbone, emit: OnEvent) -> TrainContext:
    experiment, device, images = job.experiment, device_of(job.experiment), warmup_images(job)
    precision = pick_precision(experiment.train.precision, device)
    head = projector(head_layer(backbone).weight.shape[1], experiment.train.seed)
    return TrainContext(
        experiment=experiment,
        world=world,
        device=device,
        precision=precision,
        channels_last=channels_last(experiment, backbone),
        preprocess=backbone.preprocess,
        loader=_loader(world, job, backbone.preprocess, images, emit),
        objective=Contrastive(FeatureTap(backbone), head, experiment.warmup.temperature, world, device),
        average=None,
        scaler=torch.amp.GradScaler(device.type, enabled=precision == torch.float16),
        emit=emit,
    )


def _loader(world: World, job: TrainJob, preprocess: Preprocess, images: WarmupImages, emit: OnEvent) -> PairLoader:
    experiment, device = job.experiment, device_of(job.experiment)
    strong = job.task.augment(experiment.augment.model_copy(update={"strength": 1.0}), preprocess)
    opened = open_images(images.samples, preprocess, experiment.data, emit, s3=job.s3)
    return PairLoader(
        StepSource(WARMUP, opened, {f"{WARMUP} {view}": strong for view in (1, 2)}, ratio=1.0),
        images.labels,
        (*strong.size, preprocess.channels),
        batch=experiment.train.batch_size,
        seed=experiment.train.seed,
        world=world,
        workers=loader_workers(experiment, device, world),
        pinned=device.type == "cuda",
    )


def _opened(context: TrainContext, backbone: Backbone, writer: RunWriter, folder: RunFolder) -> _Warming:
    """Return the warm-up where its last checkpoint is, or at the start."""
    experiment, resume = context.experiment, checkpoint.load(folder.last)
    progress = restore(context, backbone, resume)
    depth = depth_of(experiment, backbone)
    stage = TrainStage(0, 0, experiment.train.epochs, depth, WARM_UP)
    headless = replace(backbone, head=())  # the head is not in the loss, so it must not learn
    owned = context.objective.state
    phase = open_phase(headless, stage, (stage,), experiment, context.world, context.device, None, owned)
    if resume is not None:
        restore_optimizer(phase.optimizer, resume.optimizer)
    return _Warming(context, phase, writer, replace(progress, trainable=phase.trainable))


@dataclass(frozen=True)
class _Warming:
    """A warm-up that is ready to train from `progress`."""

    context: TrainContext
    phase: Phase
    writer: RunWriter
    progress: Progress

    def run(self) -> None:
        """Train to the end; a checkpoint is saved after each epoch.

        Raises:
            NonFiniteLoss, PauseRequested: as `train_epoch`.
        """
        progress, save = self.progress, saver(self.context, self.phase, self.writer)
        while progress.epoch < self.context.experiment.train.epochs:
            done = train_epoch(self.context, self.phase, progress, save)
            self._report(done.progress)
            progress = Progress(epoch=progress.epoch + 1, trainable=progress.trainable)
            save(progress)
            if done.pause and progress.epoch < self.context.experiment.train.epochs:
                raise PauseRequested

    def _report(self, done: Progress) -> None:
        """Record the loss of an epoch, which `done` is at the end of, and report it."""
        if not self.context.world.is_main:
            return
        values = {
            "train/loss": done.loss_sum / done.seen,
            "train/images_per_s": done.seen / done.seconds,
            "train/seconds": done.seconds,
        }
        self.writer.record({"epoch": done.epoch + 1, "stage": WARM_UP, **values})
        place = f"{WARM_UP} epoch {done.epoch + 1} of {self.context.experiment.train.epochs}"
        text = f"{place}: loss {values['train/loss']:.3f}, {values['train/images_per_s']:,.0f} images/s"
        self.context.emit(Message(text))
