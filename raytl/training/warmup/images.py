"""The images of a warm-up: the labelled training images, and those of other sources that are none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.shard import steps_per_epoch
from raytl.data.sources import TARGET, UNLABELLED
from raytl.errors import ConfigError
from raytl.training.job import TrainJob


@dataclass(frozen=True)
class WarmupImages:
    """The images of a warm-up, the labelled ones first, and the label of each, `(n,)`: images with equal ones are drawn
    together."""

    samples: SampleTable
    labels: NDArray[np.int64]


def warmup_images(job: TrainJob) -> WarmupImages:
    """Return the images of the warm-up of `job`; each that has no class, or whose class does not count, has its own label."""
    samples, train = warmup_samples(job.train, job.sources), _once(job.train, set())
    labels = np.arange(len(samples), dtype=np.int64)
    if job.experiment.warmup.method == "supcon":
        solver = job.task.head_solver
        assert solver is not None and solver.targets_of is not None, "`Task.check` rejects supcon"
        labels += len(job.classes)
        labels[: len(train)] = solver.targets_of(train, job.classes)
    return WarmupImages(samples, labels)


def warmup_samples(train: Sequence[Sample], sources: Mapping[str, Sequence[Sample]]) -> SampleTable:
    """Return the training images, then those of the sources without labels; the first of each content, as copies of an image
    must not be drawn apart."""
    others = (sources.get(key, ()) for key in (UNLABELLED, TARGET))
    seen = set[str]()
    return SampleTable.of([each for part in (train, *others) for each in _once(part, seen)])


def _once(samples: Sequence[Sample], seen: set[str]) -> list[Sample]:
    """Return the first sample of each content that is not in `seen`, and add their digests to it."""
    first: list[Sample] = []
    for sample in samples:
        if sample.digest not in seen:
            seen.add(sample.digest)
            first.append(sample)
    return first


def warmup_note(
    experiment: Experiment, train: Sequence[Sample], sources: Mapping[str, Sequence[Sample]]
) -> tuple[str, ...]:
    """Return what a plan says of the warm-up; nothing without one.

    Raises:
        ConfigError: batches are too small for the workers, each of which needs two images.
    """
    warmup, workers = experiment.warmup, experiment.compute.max_workers
    if warmup.method == "none":
        return ()
    images = len(warmup_samples(train, sources))
    steps = steps_per_epoch(images, warmup.batch_size)
    if images // steps < 2 * workers:
        raise ConfigError(
            f"warmup.batch_size: batches of {images // steps} images ({images} images, warmup.batch_size "
            f"{warmup.batch_size}) are too small for compute.workers {workers}: each needs two.\n"
            "  Use larger batches, fewer workers, or more images (data.unlabelled)."
        )
    others = images - len(_once(train, set()))
    return (
        f"warmup.method {warmup.method}: {warmup.epochs} epochs of {steps} steps before training, on {images:,} images, "
        f"{others:,} of them without labels",
    )
