"""Gather the facts from which `recipe: auto` chooses: from the data, the backbone and a measurement of its features."""

from __future__ import annotations

from dataclasses import replace

from raytl.config.schema import Experiment
from raytl.data.sample_table import SampleTable
from raytl.events import OnEvent
from raytl.labelling.change import TrainChange
from raytl.models.backbone import Backbone
from raytl.models.frozen import FrozenFit
from raytl.tasks import auto_recipe
from raytl.tasks.recipe import RecipeFacts, backbone_facts
from raytl.tasks.task import Task
from raytl.training.dataset import Dataset


def recipe_facts(
    experiment: Experiment, task: Task, backbone: Backbone, dataset: Dataset, change: TrainChange, on_event: OnEvent
) -> RecipeFacts:
    """Return the facts, of the training images after the `change` of label methods. Images on this node are measured, with their
    own labels; those of a bucket that are not here, or stream, are not."""
    splits = replace(dataset.splits, train=SampleTable.of(change.applied(dataset.splits.train)))
    return backbone_facts(
        backbone,
        train=len(splits.train),
        val=len(splits.val),
        counts=splits.counts()["train"],
        workers=experiment.compute.max_workers,
        accumulate=experiment.train.accumulate,
        pretrained=experiment.model.weights != "none",
        frozen=_measured(experiment, task, backbone, dataset, on_event),
        defaults=task.defaults,
        given={**auto_recipe.given(experiment), **dict.fromkeys(_searched(experiment), "searched")},
    )


def _searched(experiment: Experiment) -> set[str]:
    """Return the keys of the search space that rule others out."""
    return {"train.class_weights"} & set(experiment.search.space or ())


def unmeasured(experiment: Experiment, task: Task, dataset: Dataset) -> str | None:
    """Return a note on the keys that the recipe does not choose yet, or at all, as the images are not on this node."""
    keys = [key for key in task.recipe.measured if key in task.recipe.keys - auto_recipe.given(experiment).keys()]
    if experiment.recipe == "none" or not keys or not _is_measurable(experiment, task) or _is_here(experiment, dataset):
        return None
    if experiment.data.stream:
        return f"recipe: {', '.join(keys)} keep their defaults, because images that stream are not measured"
    return f"recipe: {', '.join(keys)} are chosen after the download, from measured features of the images"


def _measured(
    experiment: Experiment, task: Task, backbone: Backbone, dataset: Dataset, on_event: OnEvent
) -> FrozenFit | None:
    solver = task.head_solver
    if solver is None or not _is_measurable(experiment, task) or not _is_here(experiment, dataset):
        return None
    return solver.measure(experiment, backbone, dataset.splits.train, dataset.splits.classes, on_event)


def _is_measurable(experiment: Experiment, task: Task) -> bool:
    """Return True unless features of a network that learned these images, or nothing, would say little about others."""
    pretrained = experiment.model.weights != "none" and experiment.transfer.head_start != "weights"
    return pretrained and task.head_solver is not None


def _is_here(experiment: Experiment, dataset: Dataset) -> bool:
    return not dataset.to_fetch and not experiment.data.stream
