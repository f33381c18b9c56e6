"""The setup of a rank before it trains: its device, its random numbers, and its node's copy of the run."""

from __future__ import annotations

import os
import random

import numpy as np
import torch

from raytl.config.schema import Experiment
from raytl.cpus import usable_cpus
from raytl.data.loader import auto_workers
from raytl.events import OnEvent
from raytl.models.forward import pick_device
from raytl.run.run_store import RunStore
from raytl.run.uploader import Uploader
from raytl.training.checkpoint import drop_later_metrics
from raytl.training.collectives import sum_over_ranks
from raytl.training.job import TrainJob
from raytl.world import World


def device_of(experiment: Experiment) -> torch.device:
    """Return the device of this process."""
    device = pick_device(experiment.compute.device)
    return torch.device("cuda", torch.cuda.current_device()) if device.type == "cuda" else device


def seed_everything(experiment: Experiment) -> None:
    """Seed all generators, and choose deterministic kernels if the experiment does."""
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


def loader_workers(experiment: Experiment, device: torch.device, world: World) -> int:
    """Return the number of loader processes of this rank."""
    configured = experiment.data.loader_workers
    return auto_workers(device.type, usable_cpus() / world.local_size) if configured == "auto" else configured


def open_run_store(
    world: World, job: TrainJob, emit: OnEvent, device: torch.device
) -> tuple[RunStore, Uploader | None]:
    """Return the run's working copy, the same on all nodes, and on rank 0 what uploads its checkpoints.

    Rank 0 uploads first what only its node has.
    """
    run_store, uploader = job.run_store(), None
    if world.is_main:
        run_store.fetch()
        uploader = run_store.uploader(emit, job.write_token)
        drop_later_metrics(run_store.folder)
        if uploader is not None:
            uploader.upload_pending()
    fetch_after_main(world, run_store, device)
    return run_store, uploader


def fetch_after_main(world: World, run_store: RunStore, device: torch.device) -> None:
    """Fetch what rank 0 has stored: once it is here, the first rank of each other node fetches; the others, which would only
    list the bucket, wait for it."""
    sum_over_ranks(world, [0.0], device, "having fetched the run's folder")
    if world.local_rank == 0 and not world.is_main:
        run_store.fetch()
    if world.local_size < world.size:
        sum_over_ranks(world, [0.0], device, "having fetched the run's folder on every node")
    if world.local_rank != 0:
        run_store.use_fetched()
