"""Gather the facts from which `recipe: auto` chooses: from the data, the backbone and a measurement of its features."""

from __future__ import annotations

from raytl.config.schema import Experiment
from raytl.events import OnEvent
from raytl.models.backbone import Backbone
from raytl.models.frozen import FrozenFit
from raytl.tasks import auto_recipe
from raytl.tasks.recipe import RecipeFacts, backbone_facts
from raytl.tasks.task import Task
from raytl.training.dataset import Dataset


def recipe_facts(
    experiment: Experiment, task: Task, backbone: Backbone, dataset: Dataset, on_event: OnEvent
) -> RecipeFacts:
    """Return the facts. Images on this node are measured; those of a bucket that are not here, or stream, are not."""
    splits = dataset.splits
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


def _measured(
    experiment: Experiment, task: Task, backbone: Backbone, dataset: Dataset, on_event: OnEvent
) -> FrozenFit | None:
    solver = task.head_solver
    # features of a network that learned these images say little about others
    pretrained = experiment.model.weights != "none" and experiment.transfer.head_start != "weights"
    if solver is None or not pretrained or dataset.to_fetch or experiment.data.stream:
        return None
    classes = dataset.splits.classes
    return solver.measure(experiment, backbone, dataset.splits.train, classes, on_event)
