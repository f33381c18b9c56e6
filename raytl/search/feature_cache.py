"""The feature cache: which activations the trials of a sweep share, and the batches made of them.

Below the freeze boundary, every epoch of every trial computes the same. The activations that cross the boundary are
stored for `search.views` views of each image at each augmentation strength, computed when the first trial needs them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import TrainConfig
from raytl.data import shard
from raytl.data.cache import open_images
from raytl.data.encoder import augmented, augmented_target
from raytl.data.images import Images, Pixels
from raytl.data.loader import Batch
from raytl.data.manifest import Sample
from raytl.data.stream import PREFETCH_IMAGES, prefetch
from raytl.data.transforms import eval_pixels
from raytl.events import Message, OnEvent, Work, ignore
from raytl.models.backbone import Backbone
from raytl.models.forward import EVAL_BATCH, to_input
from raytl.models.prefix import NotTraceable, SplitModel, between, split_model, suffix_backbone
from raytl.tasks.feature_rows import Rows, ensure, peek
from raytl.training.collectives import sum_over_ranks
from raytl.training.job import TrainJob
from raytl.training.network import channels_last
from raytl.training.step_sources import ratios
from raytl.training.worker import CachedFeatures, LoadedRun
from raytl.world import World

_FORMAT = 3
_BUILD_BATCH = 32
_READ_BYTES_PER_S = 5e8
"""The least rate of gathering rows from the page cache, measured (experiments/LOG.md)."""


def cached_features(run: LoadedRun) -> CachedFeatures | None:
    """Return the top of the network of `run` with cached inputs, the same on all ranks.

    None if the job asks for pixels, nothing is frozen, pixels are mixed or get the style of a target, steps take several
    sources or turned copies, the network cannot be split, or it does not pay.
    """
    backbone, depth, augment = run.backbone, run.depth, run.job.experiment.augment
    if run.job.feature_seed is None or augment.mixup or augment.cutmix:
        return None
    beside = run.job.experiment.auxiliary.rotation or run.job.experiment.adapt.style.probability
    if ratios(run.job.experiment) or beside:
        return None  # other sources, turned copies and images in a style pass through the whole network
    if depth >= len(backbone.stages) or backbone.weights_digest == "none":
        return None
    emit = run.emit if run.world.is_main else ignore
    try:
        split = split_model(backbone, depth)
    except NotTraceable as reason:
        emit(Message(f"features at depth {depth} are not cached: {reason}", "warning"))
        return None
    source = _Source(run.job, run.world, backbone, split, depth, run.precision, run.job.feature_seed, emit)
    if sum_over_ranks(run.world, [source.pays()], run.device, "whether the feature cache pays")[0] < run.world.size:
        return None
    return CachedFeatures(suffix_backbone(backbone, split), source.train(), source.val(), f"frozen below {depth}")


@dataclass
class _Source:
    """The rows of one split of the network, for one experiment; `seed` is that of the augmented views."""

    job: TrainJob
    world: World
    backbone: Backbone
    split: SplitModel
    depth: int
    precision: torch.dtype
    seed: int
    emit: OnEvent

    def pays(self) -> bool:
        """Return True if reading a row is faster than computing it, measured on one batch, and the rows fit the cache."""
        images = np.zeros(
            (_BUILD_BATCH, *self.backbone.preprocess.view_size, self.backbone.preprocess.channels), dtype=np.uint8
        )
        self._rows(images[:2])
        started = time.perf_counter()
        rows = self._rows(images)
        compute_s = (time.perf_counter() - started) / len(rows)
        row_bytes = rows.shape[1] * rows.element_size()
        return row_bytes / _READ_BYTES_PER_S < compute_s and len(self.job.train) * row_bytes < self._limit_bytes / 2

    def train(self) -> FeatureBatches:
        """Return the training batches: one view of every image in each epoch."""
        experiment = self.job.experiment
        images = open_images(self.job.train, self.backbone.preprocess, experiment.data, s3=self.job.s3)
        task, preprocess = self.job.task, self.backbone.preprocess
        augment = task.augment(experiment.augment, preprocess)
        encoder = task.encoder(self.job.train, self.job.classes, preprocess, self.job.files)

        def view(number: int) -> Rows:
            def pixels(i: int) -> Pixels:
                return augmented(images, encoder, augment, self.seed, number, i)[0]

            key = {"augment": experiment.augment.model_dump(), "view": number, "seed": self.seed}
            batches = _Batches(images, pixels, _BUILD_BATCH, f"activations, view {number + 1}")
            return self._ensure(self.job.train, key, batches)

        def target(number: int, i: int) -> Any:
            return augmented_target(encoder, augment, preprocess, self.seed, number, i)

        is_balanced = experiment.train.sampler == "balanced"
        weights = task.sampling_weights(self.job.train, self.job.classes) if is_balanced else None
        targets = ViewTargets(len(encoder), target, encoder.collate)
        return FeatureBatches(view, targets, experiment.search.views, experiment.train, weights, self.world)

    def val(self) -> EvalFeatures:
        """Return the validation batches, of the same images as batches of pixels, so that the logits are the same."""
        images = open_images(self.job.val, self.backbone.preprocess, self.job.experiment.data, s3=self.job.s3)
        preprocess, batch = self.backbone.preprocess, EVAL_BATCH[self.device.type]
        batches = _Batches(images, lambda i: eval_pixels(images[i], preprocess), batch, "val")
        rows = self._ensure(self.job.val, {"view": "evaluation", "batch": batch}, batches)
        return EvalFeatures(rows, len(self.job.val), batch, self.world)

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(self.backbone.module.parameters()).device

    @property
    def _limit_bytes(self) -> float:
        return self.job.experiment.data.cache_limit_gb * 1e9

    def _ensure(self, samples: Sequence[Sample], view: dict[str, object], batches: _Batches) -> Rows:
        """Return the rows of a `view` of `samples`: read from disk, computed from the rows of a deeper split, or from pixels."""

        def fill() -> Iterator[Tensor]:
            deeper = self._deeper(samples, view)
            return self._from_pixels(batches) if deeper is None else self._from_rows(batches, *deeper)

        return ensure(self._key(samples, view, self.depth), len(batches.images), fill, self._limit_bytes)

    def _deeper(self, samples: Sequence[Sample], view: dict[str, object]) -> tuple[Rows, nn.Module] | None:
        """Return the rows of the nearest deeper split on disk, and the module that computes this split's rows from them."""
        for deeper in range(self.depth + 1, len(self.backbone.stages)):
            if (rows := peek(self._key(samples, view, deeper))) is not None:
                return rows, between(self.backbone, deeper, self.depth)
        return None

    def _from_pixels(self, batches: _Batches) -> Iterator[Tensor]:
        for ids in batches.ids():
            prefetch(batches.images, range(ids.start, min(ids.stop + PREFETCH_IMAGES, len(batches.images))))
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
            rows: Tensor = self.split.prefix(inputs)
        return rows

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def _key(self, samples: Sequence[Sample], view: dict[str, object], depth: int) -> str:
        """Return the name of the rows of the split at `depth`: a digest of everything that they depend on."""
        content = hashlib.sha256("".join(sample.digest for sample in samples).encode()).hexdigest()
        parts = {
            "format": _FORMAT,
            "model": self.backbone.name,
            "weights": self.backbone.weights_digest,
            "trace": self.split.trace,
            "depth": depth,
            "preprocess": repr(self.backbone.preprocess),
            "precision": str(self.precision),
            "device": self.device.type,
            "channels_last": channels_last(self.job.experiment, self.backbone),  # decides the order of values in a row
            "samples": content,
            **view,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Batches:
    """The images that rows are computed from, `size` at a time; `pixels` returns the augmented image of an index."""

    images: Images
    pixels: Callable[[int], Pixels]
    size: int
    name: str

    def ids(self) -> Iterator[range]:
        """Yield the indices of each batch."""
        count = len(self.images)
        for start in range(0, count, self.size):
            yield range(start, min(start + self.size, count))

    def work(self, ids: range) -> Work:
        """Return the progress after the batch `ids`."""
        return Work(self.name, ids.stop, len(self.images))


@dataclass(frozen=True)
class ViewTargets:
    """The targets of `count` samples: `target(view, i)` returns one, `collate` those of a batch."""

    count: int
    target: Callable[[int, int], Any]
    collate: Callable[[Sequence[Any]], Any]

    def batch(self, number: int, ids: NDArray[np.int64]) -> Any:
        """Return the targets of `ids` in the view `number`."""
        return self.collate([self.target(number, i) for i in ids.tolist()])


class FeatureBatches:
    """Training batches of rows instead of pixels, in the same order; epochs use view `epoch % views`."""

    def __init__(
        self,
        view: Callable[[int], Rows],
        targets: ViewTargets,
        views: int,
        train: TrainConfig,
        weights: NDArray[np.float64] | None,
        world: World,
    ) -> None:
        self._world = world
        self._view, self._targets, self._views, self._weights = view, targets, views, weights
        self._seed = train.seed
        self.steps = shard.steps_per_epoch(targets.count, train.batch_size)
        self._open: dict[int, Rows] = {}

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Batch, int]]:
        """Yield the rank's batches of `epoch` from `start_step` on, each with the number of samples in its global batch."""
        number = epoch % self._views
        if number not in self._open:
            self._open[number] = self._view(number)
        rows = self._open[number]
        order = shard.epoch_order(self._targets.count, self._seed, epoch, self._weights)
        for step in range(start_step, self.steps):
            whole = shard.global_batch(order, step, self.steps)
            ids = shard.rank_part(whole, self._world.rank, self._world.size)
            yield Batch(rows.take(ids), torch.from_numpy(ids.copy()), self._targets.batch(number, ids)), len(whole)

    def close(self) -> None:
        """Release the rows."""
        self._open.clear()


class EvalFeatures:
    """Validation batches of rows instead of pixels."""

    def __init__(self, rows: Rows, count: int, batch: int, world: World) -> None:
        self._rows = rows
        self._parts = shard.eval_batches(count, batch, world.rank, world.size)

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Batch]:
        for ids in self._parts:
            yield Batch(self._rows.take(ids), torch.from_numpy(ids.copy()))
