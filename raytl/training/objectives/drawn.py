"""The labelled images of a job: how many there are, and how many of some of them its steps draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.data import shard
from raytl.data.synthetic import SYNTHETIC
from raytl.training.job import TrainJob
from raytl.training.step_sources import counts, labelled_batch


def labelled_images(job: TrainJob) -> int:
    """Return the number of labelled images of the job, made ones too: ids are below it."""
    synthetic = job.sources[SYNTHETIC] if SYNTHETIC in counts(job.experiment, len(job.train)) else ()
    return len(job.train) + len(synthetic)


def drawn_fraction(job: TrainJob, counted: NDArray[np.bool_]) -> float:
    """Return the fraction of the images in the steps of an epoch that are `counted (labelled_images,)`, on average."""
    experiment, images = job.experiment, len(job.train)
    steps = shard.steps_per_epoch(images, labelled_batch(experiment))
    synthetic, drawn = counted[images:], steps * counts(experiment, images).get(SYNTHETIC, 0)
    of_synthetic = float(synthetic.mean()) * drawn if len(synthetic) else 0.0
    return (_drawn(job, counted[:images]) + of_synthetic) / (images + drawn)


def _drawn(job: TrainJob, counted: NDArray[np.bool_]) -> float:
    """Return the number of real images in the steps of an epoch that are counted, on average; the sampler repeats some."""
    if job.experiment.train.sampler != "balanced":
        return float(counted.sum())
    weights = job.task.sampling_weights(job.train, job.classes)
    return float(weights[counted].sum() / weights.sum() * len(job.train))
