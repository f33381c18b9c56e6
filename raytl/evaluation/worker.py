"""Run the forward pass over a worker's shard of a split, and merge the shards of all workers.

Whole fixed batches are distributed over the workers and computed by one thread each. Each image is therefore always
computed with the same neighbors in the same order: the bits do not depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from raytl.cpus import usable_cpus
from raytl.data.cache import source_images
from raytl.data.encoder import FileAccess
from raytl.data.loader import Batch, EvalLoader, auto_workers
from raytl.data.local_paths import on_this_node
from raytl.data.manifest import Sample
from raytl.errors import ModelError
from raytl.events import OnEvent, Work
from raytl.metrics.gather import gather_rows
from raytl.models.forward import EVAL_BATCH, pick_device, pick_precision
from raytl.models.saved_model import read_card
from raytl.run.run_store import RunStore
from raytl.store.audited import audited_name
from raytl.store.s3_settings import S3Settings
from raytl.tasks.inference import Network, Truths, split_rows
from raytl.tasks.registry import task_named
from raytl.tasks.reporting import Evaluated
from raytl.tasks.saved import load_saved
from raytl.tasks.task import Encoder, Rows
from raytl.tasks.watched import batch_features
from raytl.world import World

_SMALL = 64
"""Up to this many images per worker are decoded in this process: starting loader processes would take longer."""


@dataclass(frozen=True)
class Shard:
    """The work of one evaluation, the same for every worker; `model_folder` is the saved model's folder.

    `device` is auto, cpu or cuda. A worker on another node fetches the model from the URI `run`, checks its `digest`, and
    fetches the images from the URI `data`; `audited` names the data that the driver verified. `classes` are those of the model, and after them others of the samples, that only
    a model to compare it with has. With `features`, the last rows
    are the features of each image, `(n, d) float16`, its thumbnail and the properties of its pixels; if `detailed`, those of
    `FindingKind.detailed` come before them.
    """

    model_folder: str
    samples: Sequence[Sample]
    classes: tuple[str, ...]
    device: str
    precision: str
    max_pixels: int
    digest: str
    run: str
    data: str
    s3: S3Settings
    zip_encoding: str | None = None
    features: bool = False
    detailed: bool = False
    audited: str = field(default_factory=audited_name, compare=False)

    @property
    def files(self) -> FileAccess:
        """The limits and settings with which files of targets are read."""
        return FileAccess(self.max_pixels, self.s3)


def score_shard(world: World, shard: Shard, emit: OnEvent) -> Rows:
    """Score this worker's shard; return the merged rows of all workers in the order of the samples, the same on every rank."""
    saved = load_saved(_model_folder(shard))
    samples = on_this_node(
        shard.samples, shard.data, zip_encoding=shard.zip_encoding, s3=shard.s3, audited=shard.audited
    )
    device, preprocess = pick_device(shard.device), saved.card.preprocess
    loader = EvalLoader(
        source_images(samples, preprocess, shard.max_pixels, shard.s3),
        preprocess,
        batch=EVAL_BATCH[device.type],
        world=world,
        workers=_loader_workers(len(samples), device.type, world),
    )
    encoder: Encoder = saved.task.encoder(samples, shard.classes, preprocess, shard.files)
    network = Network(saved.task, saved.module.to(device), preprocess, device, pick_precision(shard.precision, device))
    features = batch_features(saved) if shard.features else None
    with closing(loader):
        watched = world.status.track(_watched(loader, len(samples), world, emit), "scoring batches")
        ids, rows = split_rows(network, watched, encoder, features, "whole" if shard.detailed else "none")
    return gather_rows(world, ids, *rows, total=len(samples))[1]


def evaluated_split(shard: Shard, rows: Rows) -> Evaluated:
    """Return the answers to the whole split, with its targets, in the process that called the workers; `rows` without those of features."""
    card = read_card(shard.model_folder)
    encoder = task_named(card.task).encoder(shard.samples, shard.classes, card.preprocess, shard.files)
    return Evaluated(shard.samples, Truths(encoder), rows, shard.classes, len(card.classes), card.temperature)


def _model_folder(shard: Shard) -> Path:
    """Return the model's folder on this node; it is fetched if it is missing or has another digest."""
    here = Path(shard.model_folder)
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
    return auto_workers(device, usable_cpus() / world.local_size)
