"""Rules of the label methods across keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from raytl.config import space
from raytl.config.conflict import Conflict
from raytl.config.schema import Experiment

LABEL_SOURCES: Mapping[str, str] = MappingProxyType({"few.method": "data.unlabelled", "adapt.method": "adapt.target"})
"""The key of the images that each method labels."""


def label_conflicts(experiment: Experiment) -> Iterator[Conflict]:
    """Yield what makes a label method impossible."""
    dimensions = {each.key: each.choices for each in space.read(experiment)[0].dimensions}
    sources = {"few.method": experiment.data.unlabelled, "adapt.method": experiment.adapt.target}
    own = {"few.method": experiment.few.method, "adapt.method": experiment.adapt.method}
    for key, source in LABEL_SOURCES.items():
        method = next((one for one in (own[key], *dimensions.get(key, ())) if one != "none"), None)
        if method is not None:
            yield from _conflicts_of(experiment, key, str(method), source, sources[key])


def _conflicts_of(experiment: Experiment, key: str, method: str, source: str, uri: str | None) -> Iterator[Conflict]:
    if uri is None:
        yield Conflict(
            (key, source, "search.space"),
            f"found {method}, and {source} is null: there are no images to label",
            f"name a folder or an s3:// prefix of images as {source}, or set {key} to none",
        )
    if experiment.model.weights == "none":
        yield Conflict(
            (key, "model.weights", "search.space"),
            f"found {method}, and model.weights is none: features of a random network say nothing about the classes",
            f"set model.weights to pretrained, or {key} to none",
        )
    if experiment.search.folds:
        yield Conflict(
            (key, "search.folds", "search.space"),
            f"found {method}, and search.folds {experiment.search.folds}: the labels that it gives would come from images that validate",
            f"set search.folds to null, or {key} to none",
        )
