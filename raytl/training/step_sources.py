"""The sources of images that the steps of an experiment take beside its labelled images, and how many of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raytl.adaptation.views import by_content
from raytl.config.adapt import AFTER_TRAINING, IN_TRAINING
from raytl.config.fixmatch import FIXMATCH
from raytl.config.override import override
from raytl.config.schema import AugmentConfig, Experiment
from raytl.config.source_rules import STYLE
from raytl.data import shard
from raytl.data.cache import open_images
from raytl.data.encoder import Augment, Encoder
from raytl.data.sample_table import SampleTable
from raytl.data.sources import TARGET, UNLABELLED
from raytl.data.step_source import StepSource
from raytl.data.style import FourierStyle
from raytl.data.synthetic import SYNTHETIC
from raytl.data.transforms import Preprocess
from raytl.events import OnEvent
from raytl.training.job import TrainJob
from raytl.training.objectives.domain import TARGET_VIEW
from raytl.training.objectives.fixmatch import STRONG, WEAK

ERASING = 0.5
"""Least probability of random erasing in strong views, in place of Cutout (Sohn et al. 2020)."""


def ratios(experiment: Experiment) -> dict[str, float]:
    """Return the images of each source, by its key in the experiment, for each labelled image of a step."""
    result: dict[str, float] = {}
    synthetic = experiment.data.synthetic
    if synthetic.uri is not None and synthetic.share > 0:
        result[SYNTHETIC] = synthetic.share / (1 - synthetic.share)
    labelled = 1 + result.get(SYNTHETIC, 0.0)
    if experiment.few.method == FIXMATCH:
        result[UNLABELLED] = experiment.few.fixmatch.ratio * labelled
    if experiment.adapt.method in IN_TRAINING:
        result[TARGET] = labelled
    return result


def source_keys(experiment: Experiment) -> frozenset[str]:
    """Return the keys of all sources that the steps of `experiment`, their styles, its warm-up, or a method after training take,
    or those of a trial of its search space."""

    def values(key: str, own: str) -> set[Any]:
        return {own, *(experiment.search.space or {}).get(key, {}).get("choice", ())}

    keys = {SYNTHETIC} if experiment.data.synthetic.uri is not None else set()
    keys |= {UNLABELLED} if FIXMATCH in values("few.method", experiment.few.method) else set()
    uses = values("adapt.method", experiment.adapt.method) & {*IN_TRAINING, *AFTER_TRAINING}
    has_style = experiment.adapt.style.probability > 0 or STYLE in (experiment.search.space or {})
    keys |= {TARGET} if uses or has_style else set()
    if experiment.warmup.method != "none":
        uris = {UNLABELLED: experiment.data.unlabelled, TARGET: experiment.adapt.target}
        keys |= {key for key, uri in uris.items() if uri is not None}
    return frozenset(keys)


def labels_only(experiment: Experiment) -> Experiment:
    """Return the experiment without sources beside its labelled images, warm-up and auxiliary heads, to train on their labels
    alone."""
    methods = dict.fromkeys(("few.method", "adapt.method", "warmup.method"), "none")
    others: dict[str, Any] = {"data.synthetic.uri": None, STYLE: 0.0, "auxiliary.columns": [], "auxiliary.rotation": 0}
    return override(experiment, {**methods, **others})


def labelled_batch(experiment: Experiment) -> int:
    """Return the real labelled images of a full batch: `train.batch_size` without the made ones."""
    synthetic = ratios(experiment).get(SYNTHETIC, 0.0)
    return max(1, round(experiment.train.batch_size / (1 + synthetic)))


def counts(experiment: Experiment, images: int) -> dict[str, int]:
    """Return the images of each source in every step, if there are `images` real labelled ones."""
    batch = labelled_batch(experiment)
    return {key: shard.count_beside(images, batch, ratio) for key, ratio in ratios(experiment).items()}


def step_sources(job: TrainJob, preprocess: Preprocess, emit: OnEvent) -> tuple[StepSource, ...]:
    """Return the sources of the job's steps, with their images open."""
    return tuple(_source(job, preprocess, emit, key, ratio) for key, ratio in ratios(job.experiment).items())


def target_style(job: TrainJob, preprocess: Preprocess, emit: OnEvent) -> FourierStyle | None:
    """Return the style of the target domain for labelled images; None if the experiment has none."""
    style = job.experiment.adapt.style
    if style.probability == 0:
        return None
    samples = SampleTable.of(by_content(job.sources[TARGET]))
    images = open_images(samples, preprocess, job.experiment.data, emit, s3=job.s3)
    return FourierStyle(images, preprocess, style.probability, style.beta)


def _source(job: TrainJob, preprocess: Preprocess, emit: OnEvent, key: str, ratio: float) -> StepSource:
    samples = SampleTable.of(job.sources[key])
    images = open_images(samples, preprocess, job.experiment.data, emit, s3=job.s3)
    encoder: Encoder | None = None
    if key == SYNTHETIC:
        encoder = job.task.encoder(samples, job.classes, preprocess, job.files)
    return StepSource(key, images, _views(job, preprocess, key), ratio, encoder)


def _views(job: TrainJob, preprocess: Preprocess, key: str) -> Mapping[str, Augment]:
    """Return the views of each image of a source, by name."""
    own = job.experiment.augment

    def at(config: AugmentConfig) -> Augment:
        return job.task.augment(config, preprocess)

    if key == UNLABELLED:
        strong = own.model_copy(update={"strength": 1.0, "erasing": max(own.erasing, ERASING)})
        return {WEAK: at(own.model_copy(update={"strength": 0.0, "erasing": 0.0})), STRONG: at(strong)}
    return {TARGET_VIEW if key == TARGET else key: at(own)}
