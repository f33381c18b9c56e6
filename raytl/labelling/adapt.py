"""`adapt.method`: statistics of the target's images in the network, and target images learned with pseudo-labels."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from raytl.adaptation.centroids import centroid_similarities
from raytl.adaptation.choice import Candidate, MethodChoice, chosen_method
from raytl.adaptation.probe import probe_probabilities
from raytl.adaptation.statistics import Statistics, adapted, measured_statistics, norm_layers, statistics_of
from raytl.config.adapt import IN_TRAINING
from raytl.data.cache import open_images
from raytl.data.loader import EvalLoader
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.errors import ConfigError
from raytl.events import Work
from raytl.labelling.change import TrainChange
from raytl.models.forward import EVAL_BATCH, is_channels_last, pick_device, to_input
from raytl.store.s3_settings import S3Settings
from raytl.tasks.probe_solver import even_sample
from raytl.world import World

if TYPE_CHECKING:
    from raytl.labelling.changes import LabelInputs

ADABN, CENTROIDS = ("adabn", "adabn_centroids"), ("centroids", "adabn_centroids")
"""The methods that change the network's statistics, and those that label images of the target."""
MEASURED = 1024
"""Target images whose statistics are measured at most: enough for the mean of a channel, and seconds of work."""
SOURCE_IMAGES, TARGET_IMAGES = 3000, 10_000
"""Labelled images that the classifier for pseudo-labels learns from, and images that are labelled, at most."""


def adapt(inputs: LabelInputs, method: str, change: TrainChange) -> TrainChange:
    """Return `change` with what `method` adds: statistics for the network, and images of the target with labels.

    Raises:
        ConfigError: the network has no BatchNorm, or the target has too few images.
    """
    if method in IN_TRAINING:
        return change
    domains = _Domains(inputs, change.applied(inputs.train))
    if method == "auto":
        choice = _choice(domains)
        notes, method = (*domains.notes, f"adapt.method: auto chose {choice.reason}"), choice.method
    else:
        notes = domains.notes
    if method in CENTROIDS:
        labels = domains.labels(method in ADABN)
        added = [*change.added, *_labelled(domains.target, labels, inputs.classes)]
        change = replace(change, added=added)
        notes = (
            *notes,
            f"adapt.method: {len(labels)} target images are learned, each with the class of the nearest centroid",
        )
    if method in ADABN:
        change = replace(change, statistics=domains.statistics)
        notes = (
            *notes,
            f"adapt.method: BatchNorm has the statistics of {domains.measured} target images{_mixture(inputs)}",
        )
    return replace(change, notes=(*change.notes, *notes))


@dataclass(frozen=True, eq=False)
class _Domains:
    """The labelled `source` images and those of the target, seen by the network as it is and adapted."""

    inputs: LabelInputs
    source: Sequence[Sample]

    @cached_property
    def target(self) -> Sequence[Sample]:
        """The images of the target: of many, an even part."""
        return even_sample(self.inputs.target.samples, None, TARGET_IMAGES)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read."""
        return self.inputs.target.notes

    @property
    def measured(self) -> int:
        """The number of images whose statistics are measured."""
        return min(MEASURED, len(self.target))

    @cached_property
    def statistics(self) -> Statistics:
        """The statistics of the target for the layers of the backbone; those of a new head or neck are its own."""
        return target_statistics(self.inputs, even_sample(self.target, None, MEASURED))

    @cached_property
    def adapted(self) -> LabelInputs:
        """The inputs with the adapted network."""
        own = self.inputs.backbone
        network = replace(own, module=copy.deepcopy(own.module))
        return replace(self.inputs, backbone=adapted(network, self.statistics))

    def seen(self, is_adapted: bool) -> _Seen:
        """Return the features of both domains."""
        return self._seen_adapted if is_adapted else self._seen

    @cached_property
    def _seen(self) -> _Seen:
        return _Seen.of(self.inputs, self.learned, self.target)

    @cached_property
    def _seen_adapted(self) -> _Seen:
        return _Seen.of(self.adapted, self.learned, self.target)

    @cached_property
    def learned(self) -> Sequence[Sample]:
        """The source images that a classifier learns from: of many, an even part of each class."""
        return even_sample(self.source, self._targets(self.source), SOURCE_IMAGES)

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """The class of each of the `learned` images."""
        return self._targets(self.learned)

    def labels(self, is_adapted: bool) -> NDArray[np.int64]:
        """Return the class whose centroid is nearest to each target image, `(m,)`."""
        seen = self.seen(is_adapted)
        return centroid_similarities(seen.target, self.probabilities(is_adapted)).argmax(axis=1)

    def probabilities(self, is_adapted: bool) -> NDArray[np.float64]:
        """Return what a classifier of the source says of the target images, `(m, k)`."""
        seen = self.seen(is_adapted)
        return probe_probabilities(seen.source, self.classes, len(self.inputs.classes), seen.target)

    def _targets(self, samples: Sequence[Sample]) -> NDArray[np.int64]:
        solver = self.inputs.task.head_solver
        assert solver is not None and solver.targets_of is not None, "checked by `Task.check`"
        return solver.targets_of(samples, self.inputs.classes)


@dataclass(frozen=True, eq=False)
class _Seen:
    """The features of the source and of the target."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]

    @classmethod
    def of(cls, inputs: LabelInputs, source: Sequence[Sample], target: Sequence[Sample]) -> _Seen:
        return cls(*(inputs.features(SampleTable.of(part)).double().numpy() for part in (source, target)))


def target_statistics(inputs: LabelInputs, samples: Sequence[Sample]) -> Statistics:
    """Return the BatchNorm statistics of the network of `inputs` on `samples`, mixed with its own as `adapt.alpha` says.

    Raises:
        ConfigError: the network has no BatchNorm.
    """
    backbone, head = inputs.backbone, set(inputs.backbone.head)
    names = [name for name, _ in norm_layers(backbone.module) if f"{name}.weight" not in head]
    if not names:
        raise ConfigError(
            f"adapt.method: {backbone.name} has no BatchNorm, whose statistics adabn would replace. Set it to centroids"
        )
    own = statistics_of(backbone.module)
    backbone.module.to(pick_device(inputs.experiment.compute.device))
    measured = measured_statistics(backbone.module, _views(inputs, samples), inputs.experiment.adapt.alpha)
    return Statistics({**own.layers, **{name: measured.layers[name] for name in names}})


def _views(inputs: LabelInputs, samples: Sequence[Sample]) -> Iterator[Tensor]:
    """Yield the normalized evaluation views of `samples`."""
    experiment, preprocess, module = inputs.experiment, inputs.backbone.preprocess, inputs.backbone.module
    device, last = next(module.parameters()).device, is_channels_last(inputs.backbone.module)
    images = open_images(samples, preprocess, experiment.data, s3=S3Settings.of(experiment.storage))
    loader = EvalLoader(images, preprocess, batch=EVAL_BATCH[device.type], world=World.solo())
    done = 0
    for batch in loader:
        yield to_input(batch.images, preprocess, device, last)
        done += len(batch.ids)
        inputs.on_event(Work("statistics of the target", done, len(samples), "images"))


def _choice(domains: _Domains) -> MethodChoice:
    """Return the method that the target's pseudo-labels support."""
    count = len(domains.inputs.classes)
    has_norm = bool(norm_layers(domains.inputs.backbone.module))
    candidates: dict[str, Candidate] = {}
    for is_adapted in (False, True) if has_norm else (False,):
        seen = domains.seen(is_adapted)
        plain = domains.probabilities(is_adapted).argmax(axis=1)
        nearest = domains.labels(is_adapted)
        names = ADABN if is_adapted else ("none", "centroids")
        for name, labels in zip(names, (plain, nearest), strict=True):
            candidates[name] = Candidate(seen.source, seen.target, labels)
    return chosen_method(candidates, domains.classes, count)


def _labelled(samples: Sequence[Sample], labels: NDArray[np.int64], classes: Sequence[str]) -> Iterator[Sample]:
    for sample, label in zip(samples, labels.tolist(), strict=True):
        yield replace(sample, target=classes[label], split="train")


def _mixture(inputs: LabelInputs) -> str:
    alpha = inputs.experiment.adapt.alpha
    return "" if alpha == 1 else f" ({alpha:g} of them, {1 - alpha:g} of the weights' own)"
