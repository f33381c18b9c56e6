"""Solve a new head on the features of the frozen network before the first step (LP-FT, Kumar et al. 2022)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.cache import open_images
from raytl.data.group_split import group_columns, kept_together
from raytl.data.loader import Batch, EvalLoader
from raytl.data.manifest import Sample
from raytl.errors import ModelError
from raytl.events import Message, OnEvent, Work, ignore
from raytl.models import probe
from raytl.models.backbone import Backbone
from raytl.models.forward import EVAL_BATCH, pick_precision
from raytl.models.frozen import FrozenFit, cross_validated
from raytl.models.head_work import MOST_EVALUATIONS, most_classes, most_images
from raytl.models.solved_head import STRENGTHS, OnStep, evaluations_of
from raytl.store.s3_settings import S3Settings
from raytl.throttle import Throttle
from raytl.world import World


@dataclass(frozen=True)
class HeadInputs:
    """The samples of a split, and the inputs of the head's last layer for them, `features (n, d) float32`."""

    samples: Sequence[Sample]
    features: Tensor


VIEWS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "hflip": lambda images: images.flip(-1),
    "vflip": lambda images: images.flip(-2),
    "rotate90": lambda images: torch.rot90(images, 1, (-2, -1)),
}
"""Views of a batch of square images by the switch of `augment` that draws them."""
_MEASURED = ((10e6, 256), (40e6, 128), (math.inf, 64))
"""Images that are measured, for networks of fewer parameters than these."""
FEATURES = "features for the head"
"""Title of the progress of features."""
STEPS_EVERY_S = 5.0
"""Interval between reports of the steps of a solution."""
_PAIR = 2
_GRAY_TOLERANCE = 6

SolveHead = Callable[[Experiment, HeadInputs, HeadInputs, Sequence[str], bool, OnStep], probe.Probe]
"""From the experiment, train, val, the classes, whether the layer has a bias, and what to call at each step, to the solved
heads."""


@dataclass(frozen=True)
class ProbeSolver:
    """Solve the head as a linear probe, and fine-tune from it.

    `targets_of(samples, classes)` returns the class index of each sample, `(n,)`; None if a sample has no single class.
    """

    solve_head: SolveHead
    targets_of: Callable[[Sequence[Sample], Sequence[str]], NDArray[np.int64]] | None = None

    def solve(
        self,
        experiment: Experiment,
        backbone: Backbone,
        train: Sequence[Sample],
        val: Sequence[Sample],
        classes: Sequence[str],
        on_event: OnEvent = ignore,
    ) -> probe.Probe:
        """Solve the head of `backbone` on its device, from the evaluation views of `train`.

        The penalty strength is selected by the loss on `val`. Of more images than the work of a solution allows, an even
        sample of each class is used.

        Raises:
            ModelError: there are too many classes.
        """
        train, val = self._affordable(backbone, train, val, classes, on_event)

        def inputs(samples: Sequence[Sample]) -> HeadInputs:
            return HeadInputs(samples, _features(experiment, backbone, samples, on_event))

        has_bias = probe.head_layer(backbone).bias is not None
        of_train, of_val = inputs(train), inputs(val)
        evaluations = evaluations_of(of_train.features, len(classes))
        if evaluations < MOST_EVALUATIONS:
            size = f"{len(train):,} images, {len(classes):,} classes"
            on_event(
                Message(f"solving the head: {evaluations} instead of {MOST_EVALUATIONS} steps for a penalty ({size})")
            )
        steps = _Steps(on_event, evaluations * len(STRENGTHS))  # its clock starts here
        solved = self.solve_head(experiment, of_train, of_val, classes, has_bias, steps)
        steps.end()
        return solved

    def _affordable(
        self,
        backbone: Backbone,
        train: Sequence[Sample],
        val: Sequence[Sample],
        classes: Sequence[str],
        on_event: OnEvent,
    ) -> tuple[Sequence[Sample], Sequence[Sample]]:
        """Return the samples of both splits that a solution can afford, and say so if these are not all."""
        width = probe.head_layer(backbone).weight.shape[1]
        limit = most_images(width, len(classes), len(STRENGTHS))
        if limit < len(classes):
            raise ModelError(
                f"{backbone.name}: a head of {len(classes):,} classes x {width:,} features takes hours to solve; expected at "
                f"most {most_classes(width, len(STRENGTHS)):,} classes. Set transfer.head_start to zero, and "
                "search.linear_probe to false"
            )
        if limit >= max(len(train), len(val)):
            return train, val
        targets = [self.targets_of(split, classes) if self.targets_of else None for split in (train, val)]
        affordable = [even_sample(split, own, limit) for split, own in zip((train, val), targets, strict=True)]
        if len(affordable[0]) < len(train):
            text = f"{len(affordable[0]):,} of {len(train):,} training images, evenly of each class"
            on_event(Message(f"solving the head on {text}: all would take hours with {len(classes):,} classes"))
        return affordable[0], affordable[1]

    def measure(
        self,
        experiment: Experiment,
        backbone: Backbone,
        train: Sequence[Sample],
        classes: Sequence[str],
        on_event: OnEvent = ignore,
    ) -> FrozenFit | None:
        """Return how well the frozen features separate the classes of a sample of `train`, by cross-validation.

        Convolutional networks are left in the layout that is faster, by a fifth to a quarter on CPUs.
        """
        if self.targets_of is None:
            return None
        samples = measured_sample(train, self.targets_of(train, classes), measured_images(backbone))
        if samples is None:
            return None
        device = next(backbone.module.parameters()).device
        _lay_out(backbone)
        loader = _loader(experiment, samples, backbone, device)
        batches = list(_with_progress(loader, len(samples), on_event))
        precision = pick_precision(experiment.train.precision, device)

        def inputs(view: Callable[[Tensor], Tensor]) -> Tensor:
            seen = [Batch(view(batch.images), batch.ids) for batch in batches]
            return probe.head_inputs(backbone, seen, device, precision)

        targets = self.targets_of(samples, classes)
        views = {name: inputs(view) for name, view in VIEWS.items()}
        groups = kept_together(samples, group_columns(experiment.data.columns))
        return cross_validated(inputs(lambda images: images), targets, views, _gray(batches), groups)

    def features(
        self,
        experiment: Experiment,
        backbone: Backbone,
        samples: Sequence[Sample],
        on_event: OnEvent = ignore,
        title: str = FEATURES,
    ) -> Tensor:
        """Return the inputs of the head for `samples`, `(n, d) float32`; the layout is that of `measure`."""
        _lay_out(backbone)
        return _features(experiment, backbone, samples, on_event, title)

    def scores(self, solved: probe.Probe) -> Mapping[str, float]:
        """Return the validation scores of the best head."""
        return solved.scores[solved.best.strength]

    def save(self, solved: probe.Probe, folder: Path) -> None:
        """Write the probe to `folder` atomically."""
        probe.save(solved, folder)

    def load(self, folder: Path) -> probe.Probe:
        """Return the probe in `folder`."""
        return probe.load(folder)

    def is_saved(self, folder: Path) -> bool:
        """Return True if `folder` holds a complete probe."""
        return (folder / probe.CARD).exists()

    def install(self, backbone: Backbone, solved: probe.Probe, depth: int) -> None:
        """Copy the best head into the network if only the head trains, else the soft one."""
        probe.install(backbone, solved.start(depth))


def measured_images(backbone: Backbone) -> int:
    """Return how many images are measured: fewer for large networks, so that it takes seconds."""
    size = sum(backbone.sizes.values())
    return next(images for parameters, images in _MEASURED if size < parameters)


def measured_sample(samples: Sequence[Sample], targets: NDArray[np.int64], limit: int) -> list[Sample] | None:
    """Return at most about `limit` samples, evenly spaced in each class that has two or more; None of fewer than two classes."""
    rows = measured_rows(targets, limit)
    return None if rows is None else [samples[row] for row in rows.tolist()]


def measured_rows(targets: NDArray[np.int64], limit: int) -> NDArray[np.int64] | None:
    """Return the rows of `targets (n,)` that `measured_sample` takes."""
    by_class = {name: np.flatnonzero(targets == name) for name in np.unique(targets)}
    usable = [places for places in by_class.values() if len(places) >= _PAIR]
    if len(usable) < 2:
        return None
    usable = usable[:: -(-len(usable) * _PAIR // limit)]
    quota = max(_PAIR, limit // len(usable))
    chosen = [places[:: -(-len(places) // quota)] for places in usable]
    return np.sort(np.concatenate(chosen))


def even_sample(samples: Sequence[Sample], targets: NDArray[np.int64] | None, limit: int) -> Sequence[Sample]:
    """Return about `limit` samples, evenly spaced in each class, and of each class at least one; all if these are fewer."""
    if len(samples) <= limit:
        return samples
    rows = even_rows(np.zeros(len(samples), np.int64) if targets is None else targets, limit)
    return [samples[row] for row in rows.tolist()]


def even_rows(targets: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return about `limit` rows of `targets (n,)`, evenly spaced in each class, and of each class at least one."""
    count = len(targets)
    if count <= limit:
        return np.arange(count)
    order = np.argsort(targets, kind="stable")
    classes = np.split(order, np.flatnonzero(np.diff(targets[order])) + 1)
    chosen = np.concatenate(
        [places[np.arange(-(-len(places) * limit // count)) * count // limit] for places in classes]
    )
    return np.sort(chosen)


def _gray(batches: Sequence[Batch]) -> float:
    """Return the fraction of images whose channels are equal, within the noise of a JPEG."""
    flags = [
        (batch.images.amax(1).int() - batch.images.amin(1).int()).flatten(1).amax(1) <= _GRAY_TOLERANCE
        for batch in batches
    ]
    return float(torch.cat(flags).float().mean())


def _lay_out(backbone: Backbone) -> None:
    layout = torch.channels_last if backbone.convolutional else torch.contiguous_format
    backbone.module.to(memory_format=layout)  # type: ignore[call-overload]


def _features(
    experiment: Experiment, backbone: Backbone, samples: Sequence[Sample], on_event: OnEvent, title: str = FEATURES
) -> Tensor:
    device = next(backbone.module.parameters()).device
    precision = pick_precision(experiment.train.precision, device)
    batches = _with_progress(_loader(experiment, samples, backbone, device), len(samples), on_event, title)
    return probe.head_inputs(backbone, batches, device, precision)


def _with_progress(batches: Iterable[Batch], total: int, on_event: OnEvent, title: str = FEATURES) -> Iterator[Batch]:
    """Yield `batches` and report progress."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch.ids)
        on_event(Work(title, done, total, "images"))


class _Steps:
    """Report the steps of a solution that takes long: without them, the driver would take this worker for a hung one."""

    def __init__(self, on_event: OnEvent, total: int) -> None:
        self._on_event, self._total, self._done, self._is_shown = on_event, total, 0, False
        self._throttle = Throttle(STEPS_EVERY_S, time.monotonic, last=time.monotonic())

    def __call__(self) -> None:
        self._done += 1
        if self._throttle.is_due():
            self._is_shown = True
            self._report(max(self._total, self._done))

    def end(self) -> None:
        """Report the last step, if any was reported."""
        if self._is_shown:
            self._report(self._done)

    def _report(self, total: int) -> None:
        self._on_event(Work("solving the head", self._done, total, "steps"))


def _loader(experiment: Experiment, samples: Sequence[Sample], backbone: Backbone, device: torch.device) -> EvalLoader:
    images = open_images(samples, backbone.preprocess, experiment.data, s3=S3Settings.of(experiment.storage))
    return EvalLoader(images, backbone.preprocess, batch=EVAL_BATCH[device.type], world=World.solo())
