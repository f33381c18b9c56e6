"""Rules of the label methods across keys: few.method."""

from __future__ import annotations

from collections.abc import Iterator

from raytl.config import space
from raytl.config.conflict import Conflict
from raytl.config.schema import Experiment


def label_conflicts(experiment: Experiment) -> Iterator[Conflict]:
    """Yield what makes a label method impossible."""
    searched = [each.choices for each in space.read(experiment)[0].dimensions if each.key == "few.method"]
    chosen = (experiment.few.method, *(choice for choices in searched for choice in choices))
    method = next((one for one in chosen if one != "none"), None)
    if method is None:
        return
    if experiment.data.unlabelled is None:
        yield Conflict(
            ("few.method", "data.unlabelled", "search.space"),
            f"found {method}, and data.unlabelled is null: there are no images to label",
            "name a folder or an s3:// prefix of images as data.unlabelled, or set few.method to none",
        )
    if experiment.model.weights == "none":
        yield Conflict(
            ("few.method", "model.weights", "search.space"),
            f"found {method}, and model.weights is none: features of a random network say nothing about the classes",
            "set model.weights to pretrained, or few.method to none",
        )
    if experiment.search.folds:
        yield Conflict(
            ("few.method", "search.folds", "search.space"),
            f"found {method}, and search.folds {experiment.search.folds}: the labels that it gives would come from images that validate",
            "set search.folds to null, or few.method to none",
        )
