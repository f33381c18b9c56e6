"""The sources of images that the steps of an experiment take beside its labelled images, and how many of each."""

from __future__ import annotations

from raytl.config.schema import Experiment
from raytl.data import shard
from raytl.data.cache import open_images
from raytl.data.sample_table import SampleTable
from raytl.data.step_source import StepSource
from raytl.data.synthetic import SYNTHETIC
from raytl.data.transforms import Preprocess
from raytl.events import OnEvent
from raytl.training.job import TrainJob


def ratios(experiment: Experiment) -> dict[str, float]:
    """Return the images of each source, by its key in the experiment, for each labelled image of a step."""
    result: dict[str, float] = {}
    synthetic = experiment.data.synthetic
    if synthetic.uri is not None and synthetic.share > 0:
        result[SYNTHETIC] = synthetic.share / (1 - synthetic.share)
    return result


def labelled_batch(experiment: Experiment) -> int:
    """Return the real labelled images of a full batch: `train.batch_size` without the made ones."""
    made = ratios(experiment).get(SYNTHETIC, 0.0)
    return max(1, round(experiment.train.batch_size / (1 + made)))


def counts(experiment: Experiment, images: int) -> dict[str, int]:
    """Return the images of each source in every step, if there are `images` real labelled ones."""
    batch = labelled_batch(experiment)
    return {key: shard.count_beside(images, batch, ratio) for key, ratio in ratios(experiment).items()}


def step_sources(job: TrainJob, preprocess: Preprocess, emit: OnEvent) -> tuple[StepSource, ...]:
    """Return the sources of the job's steps, with their images open."""
    return tuple(_source(job, preprocess, emit, key, ratio) for key, ratio in ratios(job.experiment).items())


def _source(job: TrainJob, preprocess: Preprocess, emit: OnEvent, key: str, ratio: float) -> StepSource:
    experiment, samples = job.experiment, SampleTable.of(job.sources[key])
    images = open_images(samples, preprocess, experiment.data, emit, s3=job.s3)
    own = job.task.augment(experiment.augment, preprocess)
    encoder = job.task.encoder(samples, job.classes, preprocess, job.files)
    return StepSource(key, images, {key: own}, ratio, encoder)
