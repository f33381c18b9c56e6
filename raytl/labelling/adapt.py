"""The step `adapt.method`: images of `adapt.target` become training images with the labels that a method gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from raytl.adaptation.centroids import centroid_similarities
from raytl.adaptation.choice import Candidate, Labelled, MethodChoice, agreement, chosen_method, confirmed
from raytl.adaptation.probe import probe_probabilities
from raytl.adaptation.statistics import MEASURED, adapted, measured_statistics, norm_layers
from raytl.adaptation.views import by_content, normalized_views
from raytl.config.adapt import AFTER_TRAINING, IN_TRAINING
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.errors import ConfigError
from raytl.labelling.change import Reason, TrainChange
from raytl.models.forward import pick_device
from raytl.store.s3_settings import S3Settings
from raytl.tasks.probe_solver import even_sample

if TYPE_CHECKING:
    from raytl.labelling.changes import LabelInputs

ADABN = "adabn_centroids"
SOURCE_IMAGES, TARGET_IMAGES = 3000, 10_000
"""Labelled images that the classifier for pseudo-labels learns from, and target images that are labelled, at most."""
COMPARED = 1500
"""Images of each domain from which `auto` learns to compare methods, at most."""


def adapt(inputs: LabelInputs, method: str, change: TrainChange) -> TrainChange:
    """Return `change` with the images of `adapt.target`, labelled by `method`; `auto` may add none.

    Raises:
        ConfigError: the network has no BatchNorm, or the task has no single class an image.
        DataError: see `target_images`.
    """
    if method in (*IN_TRAINING, *AFTER_TRAINING):
        return change
    domains = _Domains(inputs, change.applied(inputs.train))
    notes = list(inputs.target.notes)
    if method == "auto":
        choice = _choice(domains)
        method = choice.method
        notes.append(f"adapt.method auto: {choice.reason}")
    if method == "none":
        return replace(change, notes=(*change.notes, *notes))
    labels = domains.labels(method)
    notes.append(_note(inputs, method, labels, len(inputs.target.samples)))
    added = [*change.added, *_labelled(domains.target, labels, inputs.classes)]
    reasons = dict.fromkeys((sample.key for sample in domains.target), Reason(f"adapt.method: {method}"))
    return replace(change, added=added, reasons={**change.reasons, **reasons}, notes=(*change.notes, *notes))


@dataclass(frozen=True, eq=False)
class _Domains:
    """The labelled `source` images and those of the target, in frozen features."""

    inputs: LabelInputs
    source: Sequence[Sample]

    @cached_property
    def target(self) -> Sequence[Sample]:
        """The images of the target in the order of their content, as names of folders may be labels; of many, a part."""
        return by_content(self.inputs.target.samples)[:TARGET_IMAGES]

    @cached_property
    def learned(self) -> Sequence[Sample]:
        """The source images that a classifier learns from: of many, an even part of each class."""
        return even_sample(self.source, self.targets_of(self.source), SOURCE_IMAGES)

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """The class of each of the `learned` images."""
        return self.targets_of(self.learned)

    def labels(self, method: str) -> NDArray[np.int64]:
        """Return the class that `method` gives to each target image, `(m,)`."""
        seen = self.adapted if method == ADABN else self.seen
        return np.asarray(centroid_similarities(seen.target, self.answers(seen)).argmax(axis=1))

    def answers(self, seen: _Seen) -> NDArray[np.float64]:
        """Return the probabilities of the classes of each target image by a classifier of the source, `(m, k)`."""
        return probe_probabilities(seen.source, self.classes, len(self.inputs.classes), seen.target)

    @cached_property
    def seen(self) -> _Seen:
        """The features of the pretrained network."""
        return _Seen(*(_features(self.inputs, part) for part in (self.learned, self.target)))

    @cached_property
    def adapted(self) -> _Seen:
        """The features of the network with the statistics of the domain of each image."""
        return _Seen(*(_features(_with_statistics(self.inputs, part), part) for part in (self.learned, self.target)))

    def targets_of(self, samples: Sequence[Sample]) -> NDArray[np.int64]:
        """Return the class of each of `samples`, `(n,)`."""
        solver = self.inputs.task.head_solver
        if solver is None or solver.targets_of is None:
            name = self.inputs.experiment.task
            raise ConfigError(f"adapt.method: task {name} has no single class an image; set it to none")
        return solver.targets_of(samples, self.inputs.classes)


@dataclass(frozen=True, eq=False)
class _Seen:
    """The features of the source `(n, d)` and of the target `(m, d)`."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]


def _features(inputs: LabelInputs, samples: Sequence[Sample]) -> NDArray[np.float64]:
    return np.asarray(inputs.features(SampleTable.of(samples)).double().numpy())


def _with_statistics(inputs: LabelInputs, samples: Sequence[Sample]) -> LabelInputs:
    """Return `inputs` whose network has the statistics of `samples`, mixed with its own as `adapt.alpha` says.

    Raises:
        ConfigError: the network has no BatchNorm.
    """
    backbone, experiment = inputs.backbone, inputs.experiment
    if not norm_layers(backbone.module):
        raise ConfigError(
            f"adapt.method: {backbone.name} has no BatchNorm, whose statistics {ADABN} replaces. Set it to centroids"
        )
    backbone.module.to(pick_device(experiment.compute.device))
    views = normalized_views(
        backbone.module,
        even_sample(samples, None, MEASURED),
        backbone.preprocess,
        experiment.data,
        s3=S3Settings.of(experiment.storage),
        on_event=inputs.on_event,
        title="BatchNorm statistics",
    )
    statistics = measured_statistics(backbone.module, views, experiment.adapt.alpha)
    return replace(inputs, backbone=adapted(backbone, statistics))


def _choice(domains: _Domains) -> MethodChoice:
    """Return the method whose labels of the target lead back to the source best, unless it loses on validation."""
    seen = domains.seen
    compared = {"none": (seen, domains.answers(seen).argmax(axis=1)), "centroids": (seen, domains.labels("centroids"))}
    if norm_layers(domains.inputs.backbone.module):  # features are compared by the answers of a classifier in them
        compared[ADABN] = (domains.adapted, domains.answers(domains.adapted).argmax(axis=1))
    own, other = (_some(len(part), COMPARED) for part in (domains.learned, domains.target))
    classes, count = domains.classes[own], len(domains.inputs.classes)
    candidates = {}
    for name, (space, labels) in compared.items():
        source, target = space.source[own], space.target[other]
        candidates[name] = Candidate(source, target, labels[other], agreement(source, classes, target, count))
    choice = chosen_method(candidates, classes, count)
    if choice.method == "none" or not len(domains.inputs.val):
        return choice
    labels = domains.labels(choice.method)[other]
    train = Labelled(seen.source[own], classes)
    val = Labelled(_features(domains.inputs, domains.inputs.val), domains.targets_of(domains.inputs.val))
    return confirmed(choice, train, Labelled(seen.target[other], labels), val, count)


def _some(count: int, limit: int) -> NDArray[np.int64]:
    """Return at most `limit` places of `count`, evenly spaced."""
    return np.arange(min(count, limit)) * count // min(count, limit)


def _labelled(samples: Sequence[Sample], labels: NDArray[np.int64], classes: Sequence[str]) -> Iterator[Sample]:
    for sample, label in zip(samples, labels.tolist(), strict=True):
        yield replace(sample, target=classes[label], split="train")


def _note(inputs: LabelInputs, method: str, labels: NDArray[np.int64], total: int) -> str:
    counts = Counter(inputs.classes[label] for label in labels.tolist()).most_common()
    by_class = ", ".join(f"{name} {count}" for name, count in counts[:10])
    more = f" and {len(counts) - 10} more classes" if len(counts) > 10 else ""
    alpha = f" (alpha {inputs.experiment.adapt.alpha:g})" if method == ADABN else ""
    return f"adapt.method {method}{alpha}: {len(labels)} of {total} target images join the training images: {by_class}{more}"
