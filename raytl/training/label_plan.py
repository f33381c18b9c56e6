"""The part of a plan that label methods make: computed for new runs, read from the record of those that began."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.data.sources import TARGET, UNLABELLED
from raytl.events import OnEvent
from raytl.labelling.change import TrainChange
from raytl.labelling.changes import LabelInputs, label_changes
from raytl.labelling.record import FILE, LabelChanges, restored
from raytl.labelling.settings import Settings, has_methods
from raytl.labelling.unlabelled import UnlabelledImages, audited_source, read_source, test_images
from raytl.models.backbone import Backbone
from raytl.store.s3_settings import S3Settings
from raytl.tasks.task import Task
from raytl.training.dataset import Dataset


def planned_changes(
    experiment: Experiment,
    task: Task,
    backbone: Backbone,
    dataset: Dataset,
    on_event: OnEvent,
    recorded: LabelChanges | None = None,
) -> dict[Settings, TrainChange]:
    """Return what label methods change, or what they changed when `recorded`; nothing before the images are on this node."""
    if dataset.to_fetch or not has_methods(experiment):
        return {}
    if recorded is not None:
        read = partial(_present, experiment, on_event)
        return restored(recorded, dataset.splits.classes, read, f"{experiment.name}: {FILE}")
    return label_changes(label_inputs(experiment, task, backbone, dataset, on_event))


def label_inputs(
    experiment: Experiment, task: Task, backbone: Backbone, dataset: Dataset, on_event: OnEvent
) -> LabelInputs:
    """Return the inputs of methods that work on the images of a plan, with a new network."""
    splits = dataset.splits
    unlabelled = partial(unlabelled_images, experiment, backbone, dataset, on_event)
    target = partial(target_images, experiment, backbone, dataset, on_event)
    # the plan's network has tried a step on blank images, and BatchNorm has their statistics
    network = task.build(experiment.model, splits.classes, S3Settings.of(experiment.storage)).reading(
        dataset.depth.depth
    )
    return LabelInputs(
        experiment, task, network, splits.train, splits.val, splits.classes, on_event, unlabelled, target
    )


def unlabelled_images(
    experiment: Experiment, backbone: Backbone, dataset: Dataset, on_event: OnEvent
) -> UnlabelledImages:
    """Return the images of `data.unlabelled`, without those that are labelled or of the test of `adapt.target`."""
    uri = experiment.data.unlabelled
    assert uri is not None, "a method that needs unlabelled images is rejected without them"
    preprocess, depth = backbone.preprocess, dataset.depth.depth
    target = experiment.adapt.target
    tests = [] if target is None else test_images(target, TARGET, experiment, preprocess, on_event)
    return read_source(uri, UNLABELLED, experiment, [*dataset.samples, *tests], preprocess, depth, on_event)


def target_images(experiment: Experiment, backbone: Backbone, dataset: Dataset, on_event: OnEvent) -> UnlabelledImages:
    """Return the images of `adapt.target`, without its own test images and those that are labelled; see `read_source`."""
    uri = experiment.adapt.target
    assert uri is not None, "a method that needs a target is rejected without one"
    preprocess, depth = backbone.preprocess, dataset.depth.depth
    return read_source(uri, TARGET, experiment, dataset.samples, preprocess, depth, on_event, has_test=True)


def _present(experiment: Experiment, on_event: OnEvent, key: str) -> Sequence[Sample]:
    """Return the images that lie in the source that `key` of the experiment names."""
    uri = {UNLABELLED: experiment.data.unlabelled, TARGET: experiment.adapt.target}.get(key)
    return () if uri is None else audited_source(uri, key, experiment, None, on_event)[0]
