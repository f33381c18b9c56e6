"""What a trial need not compute: the frozen part of its network, run once for V augmented views of each image.

Below the freeze boundary, every epoch of every trial computes the same. The activations that cross the boundary are kept
for `search.views` views of each image and each strength; a view is computed when the first trial comes to it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import TrainConfig
from raytl.data import shard
from raytl.data.augment import TrainAugment, sample_rng
from raytl.data.cache import open_images
from raytl.data.images import Images, Pixels
from raytl.data.loader import Batch
from raytl.data.manifest import Sample
from raytl.data.stream import AHEAD, prefetch
from raytl.data.targets import encode_targets
from raytl.data.transforms import center_crop
from raytl.events import Message, OnEvent, Work
from raytl.models.backbone import Backbone
from raytl.models.forward import EVAL_BATCH, to_input
from raytl.models.prefix import NotTraceable, SplitModel, between, split_model, suffix_backbone
from raytl.search.feature_rows import Rows, ensure, peek
from raytl.search.trial import SweepJob
from raytl.training.agree import total
from raytl.training.worker import Job, Share, Shared
from raytl.world import World

_FORMAT = 1
_BUILD_BATCH = 32
_READ_BYTES_PER_S = 5e8
"""What a gather of rows from the page cache gives at least, measured (experiments/LOG.md)."""


def sharing(sweep: SweepJob, job: Job, world: World, emit: OnEvent) -> Share | None:
    """What finds the shared part for a trial of `sweep` on rank `world.rank`, the same on all; None where nothing is to be
    shared, or pixels are mixed and so nothing stays the same."""
    if not sweep.share:
        return None
    augment = job.experiment.augment
    if augment.mixup or augment.cutmix:
        return None

    def share(backbone: Backbone, depth: int, precision: torch.dtype) -> Shared | None:
        if depth >= len(backbone.stages) or backbone.weights_digest == "none":
            return None
        try:
            made = split_model(backbone, depth)
        except NotTraceable as reason:
            emit(Message(f"nothing is shared at depth {depth}: {reason}", "warning"))
            return None
        source = _Source(sweep, job, world, backbone, made, depth, precision, emit)
        if total(world, [source.pays()], source.device, "whether sharing pays")[0] < world.size:
            return None
        return Shared(suffix_backbone(backbone, made), source.train(), source.val(), f"frozen below {depth}")

    return share


@dataclass
class _Source:
    """Rows of one cut for one experiment."""

    sweep: SweepJob
    job: Job
    world: World
    backbone: Backbone
    made: SplitModel
    depth: int
    precision: torch.dtype
    emit: OnEvent

    def pays(self) -> bool:
        """True when reading a row is cheaper than computing it; measured on one batch."""
        images = np.zeros((_BUILD_BATCH, *[self.backbone.preprocess.image_px] * 2, 3), dtype=np.uint8)
        self._rows(images[:2])
        started = time.perf_counter()
        rows = self._rows(images)
        computing = (time.perf_counter() - started) / len(rows)
        reading = rows.shape[1] * rows.element_size() / _READ_BYTES_PER_S
        limit = self.job.experiment.data.cache_limit_gb * 1e9
        return reading < computing and len(self.job.train) * rows.shape[1] * rows.element_size() < limit / 2

    def train(self) -> FeatureBatches:
        """The training batches, a view of every image for each epoch."""
        experiment = self.job.experiment
        images = open_images(self.job.train, self.backbone.preprocess, experiment.data, s3=self.sweep.s3)
        augment = TrainAugment(experiment.augment, self.backbone.preprocess)
        seed = self.sweep.experiment.train.seed

        def view(number: int) -> Rows:
            def pixels(i: int) -> Pixels:
                return augment.view(images[i], sample_rng(seed, number, i))

            told = {"augment": experiment.augment.model_dump(), "view": number, "seed": seed}
            batches = _Batches(images, pixels, _BUILD_BATCH, f"activations, view {number + 1}")
            return self._ensure(self.job.train, told, batches)

        targets = encode_targets(self.job.train, self.job.classes)
        weights = (
            shard.class_weights(targets, len(self.job.classes)) if experiment.train.sampler == "balanced" else None
        )
        return FeatureBatches(view, targets, experiment.search.views, experiment.train, weights, self.world)

    def val(self) -> EvalFeatures:
        """The validation batches, cut as from pixels, so that the logits are the same."""
        images = open_images(self.job.val, self.backbone.preprocess, self.job.experiment.data, s3=self.sweep.s3)
        side, batch = self.backbone.preprocess.image_px, EVAL_BATCH[self.device.type]
        batches = _Batches(images, _centred(images, side), batch, "val")
        rows = self._ensure(self.job.val, {"view": "evaluation", "batch": batch}, batches)
        return EvalFeatures(rows, encode_targets(self.job.val, self.job.classes), batch, self.world)

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.backbone.module.parameters()).device

    def _ensure(self, samples: Sequence[Sample], view: dict[str, object], batches: _Batches) -> Rows:
        """The rows of `samples` as `view` says: those on disk, or made of a deeper cut's where such are there, or of pixels."""

        def fill() -> Iterator[Tensor]:
            deeper = self._deeper(samples, view)
            return self._from_pixels(batches) if deeper is None else self._from_rows(batches, *deeper)

        limit = self.job.experiment.data.cache_limit_gb * 1e9
        return ensure(self._key(samples, view, self.depth), len(batches.images), fill, limit)

    def _deeper(self, samples: Sequence[Sample], view: dict[str, object]) -> tuple[Rows, nn.Module] | None:
        """The rows of the nearest deeper cut that is on disk, and what makes ours of them."""
        for deeper in range(self.depth + 1, len(self.backbone.stages)):
            if (rows := peek(self._key(samples, view, deeper))) is not None:
                return rows, between(self.backbone, deeper, self.depth)
        return None

    def _from_pixels(self, batches: _Batches) -> Iterator[Tensor]:
        for ids in batches.ids():
            prefetch(batches.images, range(ids.start, min(ids.stop + AHEAD, len(batches.images))))
            yield self._rows(np.stack([batches.pixels(i) for i in ids]))
            self.emit(batches.work(ids))

    @torch.no_grad()
    def _from_rows(self, batches: _Batches, rows: Rows, rest: nn.Module) -> Iterator[Tensor]:
        for ids in batches.ids():
            with self._autocast():
                yield rest(rows.take(np.asarray(ids)).to(self.device))
            self.emit(batches.work(ids))

    @torch.no_grad()
    def _rows(self, stack: NDArray[np.uint8]) -> Tensor:
        images = torch.from_numpy(stack).permute(0, 3, 1, 2)
        inputs = to_input(images, self.backbone.preprocess, self.device, self.backbone.convolutional)
        with self._autocast():
            rows: Tensor = self.made.prefix(inputs)
        return rows

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def _key(self, samples: Sequence[Sample], view: dict[str, object], depth: int) -> str:
        """The name of the set of the cut at `depth`: a digest of all that its rows depend on."""
        content = hashlib.sha256("".join(sample.digest for sample in samples).encode()).hexdigest()
        parts = {
            "format": _FORMAT,
            "model": self.backbone.name,
            "weights": self.backbone.weights_digest,
            "depth": depth,
            "preprocess": repr(self.backbone.preprocess),
            "precision": str(self.precision),
            "device": self.device.type,
            "samples": content,
            **view,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Batches:
    """How rows are made: of the `pixels` of each of the `images`, `size` at a time."""

    images: Images
    pixels: Callable[[int], Pixels]
    size: int
    name: str

    def ids(self) -> Iterator[range]:
        """The images of each batch."""
        count = len(self.images)
        for start in range(0, count, self.size):
            yield range(start, min(start + self.size, count))

    def work(self, ids: range) -> Work:
        """How far it is after the batch `ids`."""
        return Work(self.name, ids.stop, len(self.images))


class FeatureBatches:
    """Training batches of rows in place of pixels, in the order that pixels would come in; view `epoch % views`."""

    def __init__(
        self,
        view: Callable[[int], Rows],
        targets: NDArray[np.int64],
        views: int,
        train: TrainConfig,
        weights: NDArray[np.float64] | None,
        world: World,
    ) -> None:
        self._world = world
        self._view, self._targets, self._views, self._weights = view, targets, views, weights
        self._seed = train.seed
        self.steps = shard.steps_per_epoch(len(targets), train.batch_size)
        self._open: dict[int, Rows] = {}

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Batch, int]]:
        """The rank's batches of `epoch` from `start_step` on, each with the number of samples in its global batch."""
        number = epoch % self._views
        if number not in self._open:
            self._open[number] = self._view(number)
        rows = self._open[number]
        order = shard.epoch_order(len(self._targets), self._seed, epoch, self._weights)
        for step in range(start_step, self.steps):
            whole = shard.global_batch(order, step, self.steps)
            ids = shard.rank_part(whole, self._world.rank, self._world.size)
            yield _batch(rows, self._targets, ids), len(whole)

    def close(self) -> None:
        """Lets go of the rows."""
        self._open.clear()


class EvalFeatures:
    """Validation batches of rows in place of pixels."""

    def __init__(self, rows: Rows, targets: NDArray[np.int64], batch: int, world: World) -> None:
        self._rows, self._targets = rows, targets
        self._parts = shard.eval_batches(len(targets), batch, world.rank, world.size)

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Batch]:
        for ids in self._parts:
            yield _batch(self._rows, self._targets, ids)


def _batch(rows: Rows, targets: NDArray[np.int64], ids: NDArray[np.int64]) -> Batch:
    return Batch(rows.take(ids), torch.from_numpy(targets[ids]), torch.from_numpy(ids.copy()))


def _centred(images: Images, side: int) -> Callable[[int], Pixels]:
    return lambda i: center_crop(images[i], side)
