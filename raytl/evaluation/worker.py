"""Run the forward pass over a worker's shard of a split, and merge the shards of all workers.

Whole fixed batches are distributed over the workers and computed by one thread each. Each image is therefore always
computed with the same neighbors in the same order: the bits do not depend on the number of workers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.data.cache import source_images
from raytl.data.loader import Batch, EvalLoader, auto_workers
from raytl.data.local_paths import on_this_node
from raytl.data.manifest import Sample
from raytl.errors import ModelError
from raytl.events import OnEvent, Work
from raytl.metrics.gather import gather_rows
from raytl.metrics.scores import softmax
from raytl.models.bundle import load_bundle, read_card
from raytl.models.forward import EVAL_BATCH, pick_device, pick_precision
from raytl.run.run_store import RunStore
from raytl.store.s3_settings import S3Settings
from raytl.tasks.classification.targets import encode_targets
from raytl.tasks.inference import Network, ordered_logits
from raytl.tasks.registry import task_named
from raytl.world import World

_SMALL = 64
"""Up to this many images per worker are decoded in this process: starting loader processes would take longer."""


@dataclass(frozen=True)
class Shard:
    """The work of one evaluation, the same for every worker; `bundle` is the saved model's folder.

    `device` is auto, cpu or cuda. A worker on another node fetches the model from the URI `run`, checks its `digest`, and
    fetches the images from the URI `data`.
    """

    bundle: str
    samples: tuple[Sample, ...]
    device: str
    precision: str
    max_pixels: int
    digest: str
    run: str
    data: str
    s3: S3Settings
    zip_encoding: str | None = None


@dataclass(frozen=True)
class Scored:
    """The whole split in the order of its samples: `targets (n,)` and `probabilities (n, classes) float64`."""

    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def score_shard(world: World, shard: Shard, emit: OnEvent) -> Scored:
    """Score this worker's shard; return the merged rows of all workers, the same on every rank."""
    classes, rows = probabilities(world, shard, emit)
    return Scored(encode_targets(shard.samples, classes), rows)


def probabilities(world: World, shard: Shard, emit: OnEvent) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the model's classes, and their probabilities for every sample of the split in order, whatever its label."""
    module, card = load_bundle(_bundle(shard))
    samples = on_this_node(shard.samples, shard.data, zip_encoding=shard.zip_encoding, s3=shard.s3)
    device = pick_device(shard.device)
    loader = EvalLoader(
        source_images(samples, card.preprocess, shard.max_pixels, shard.s3),
        card.preprocess,
        batch=EVAL_BATCH[device.type],
        world=world,
        workers=_loader_workers(len(samples), device.type, world),
    )
    with closing(loader):
        watched = world.status.track(_watched(loader, len(samples), world, emit), "scoring batches")
        precision = pick_precision(shard.precision, device)
        network = Network(task_named(card.task), module.to(device), card.preprocess, device, precision)
        ids, logits = ordered_logits(network, watched)
    _, (merged,) = gather_rows(world, ids, logits, total=len(samples))
    return card.classes, softmax(merged)


def _bundle(shard: Shard) -> Path:
    """Return the model's folder on this node; it is fetched if it is missing or has another digest."""
    here = Path(shard.bundle)
    with suppress(ModelError):
        if read_card(here).digest == shard.digest:
            return here
    return RunStore.open(shard.run, shard.s3).folder.best


def _watched(batches: Iterable[Batch], total: int, world: World, emit: OnEvent) -> Iterator[Batch]:
    """The batches; the leading rank tells how far all have come, as its share is the largest."""
    done = 0
    for batch in batches:
        yield batch
        done = min(total, done + len(batch.ids) * world.size)
        if world.is_main:
            emit(Work("scoring", done, total))


def _loader_workers(images: int, device: str, world: World) -> int:
    if images <= _SMALL * world.size:
        return 0
    return auto_workers(device, len(os.sched_getaffinity(0)) / world.local_size)
