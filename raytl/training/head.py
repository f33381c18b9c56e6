"""Solve the head on the features of the training images before the first step (LP-FT, Kumar et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.cache import open_images
from raytl.data.loader import Batch, EvalLoader
from raytl.data.manifest import Sample
from raytl.events import OnEvent, Work, ignore
from raytl.models import probe
from raytl.models.backbone import Backbone
from raytl.models.forward import EVAL_BATCH, pick_precision
from raytl.store.s3_settings import S3Settings
from raytl.tasks.classification.loss import class_weights
from raytl.tasks.classification.targets import LabelEncoder, encode_targets
from raytl.world import World


def solve_head(
    experiment: Experiment,
    backbone: Backbone,
    train: tuple[Sample, ...],
    val: tuple[Sample, ...],
    classes: tuple[str, ...],
    on_event: OnEvent = ignore,
) -> probe.Probe:
    """Solve the head of `backbone` on its device, from the evaluation views of `train`.

    The penalty strength is selected by the log loss on `val`.
    """
    device = next(backbone.module.parameters()).device
    precision = pick_precision(experiment.train.precision, device)

    def features(samples: tuple[Sample, ...]) -> tuple[Tensor, Tensor]:
        batches = _with_progress(_loader(experiment, samples, classes, backbone, device), len(samples), on_event)
        return probe.head_inputs(backbone, batches, device, precision)

    (inputs, targets), (held_out, val_targets) = features(train), features(val)
    counts = {name: sum(sample.label == name for sample in train) for name in classes}
    return probe.solve(
        inputs,
        targets,
        held_out,
        val_targets,
        len(classes),
        weights=class_weights(experiment.train, counts),
        label_smoothing=experiment.train.label_smoothing,
        intercept=probe.head_layer(backbone).bias is not None,
    )


def _with_progress(batches: Iterable[Batch], total: int, on_event: OnEvent) -> Iterator[Batch]:
    """Yield `batches` and report progress."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch.ids)
        on_event(Work("features for the head", done, total, "images"))


def _loader(
    experiment: Experiment,
    samples: tuple[Sample, ...],
    classes: tuple[str, ...],
    backbone: Backbone,
    device: torch.device,
) -> EvalLoader:
    images = open_images(samples, backbone.preprocess, experiment.data, s3=S3Settings.of(experiment.storage))
    truths = LabelEncoder(encode_targets(samples, classes))
    batch = EVAL_BATCH[device.type]
    return EvalLoader(images, backbone.preprocess, batch=batch, world=World.solo(), truths=truths)
