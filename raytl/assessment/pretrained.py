"""The features of the pretrained network, which never saw an image of the data, for the groups of a report."""

from __future__ import annotations

import numpy as np

from raytl.assessment.collect import Source
from raytl.assessment.section import Evidence, PretrainedFeatures
from raytl.config.schema import Experiment
from raytl.config.stored import on_this_machine
from raytl.errors import ModelError
from raytl.evaluation.record import verified
from raytl.events import Message
from raytl.models.backbone import Backbone
from raytl.models.group_gap import MOST_IMAGES
from raytl.store.s3_settings import S3Settings
from raytl.tasks.cached_features import cached_features
from raytl.tasks.registry import task_named
from raytl.uris import has_scheme


def pretrained_features(source: Source, evidence: Evidence) -> PretrainedFeatures | None:
    """Return the features of a sample of the images of train and validation; None, with a message, if the weights are not here.

    Raises:
        DataError: images changed or are missing.
    """
    experiment = on_this_machine(source.recipe, source.machine)
    solver = task_named(source.card.task).head_solver
    if solver is None or evidence.train is None or experiment.model.weights == "none":
        return None
    try:
        backbone = start_of(source, experiment)
    except ModelError as error:
        source.on_event(Message(f"groups: not measured on features of the pretrained network: {error}", "warning"))
        return None
    samples = [*evidence.train.samples, *evidence.val.samples]
    places = np.sort(np.random.default_rng(0).permutation(len(samples))[:MOST_IMAGES])
    data, s3 = source.recipe.data, S3Settings.of(source.machine.storage)
    present = verified([samples[i] for i in places], data.uri, source.on_event, data.zip_encoding, s3, data.feedback)
    features = cached_features(experiment, solver, backbone, present, source.on_event)
    return PretrainedFeatures(places, features.numpy())


def start_of(source: Source, experiment: Experiment) -> Backbone:
    """Return the network from which the run started. An address that the run names is not read.

    Raises:
        ModelError: its weights are elsewhere, not available, or have changed.
    """
    weights, run = experiment.model.weights, source.run_store.uri
    if has_scheme(weights) and not weights.startswith("torchvision:"):
        raise ModelError(
            f"{run}: it started from {weights}; expected weights on this machine, as a report reads no other address"
        )
    classes, s3 = source.card.classes, S3Settings.of(source.machine.storage)
    backbone = task_named(source.card.task).build(experiment.model, classes, s3)
    if backbone.weights_digest != source.card.weights_digest:
        raise ModelError(
            f"{run}: model.weights: found other weights ({backbone.weights_digest[:12]}) than those from which the run started; "
            f"expected {source.card.weights_digest[:12]}. Restore them"
        )
    return backbone.reading(source.card.preprocess.measured)
