"""Rules of the label methods across keys: few.method, adapt.method, labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from raytl.config import space
from raytl.config.adapt import AFTER_TRAINING
from raytl.config.conflict import Conflict
from raytl.config.schema import Experiment, Recipe
from raytl.uris import has_scheme, in_bucket, is_table_name

LABEL_SOURCES: Mapping[str, str] = MappingProxyType({"few.method": "data.unlabelled", "adapt.method": "adapt.target"})
"""The key of the images that each method labels."""


def label_conflicts(experiment: Experiment) -> Iterator[Conflict]:
    """Yield what makes a label method impossible."""
    yield from _noise(experiment)
    sources = {"few.method": experiment.data.unlabelled, "adapt.method": experiment.adapt.target}
    for key, source in LABEL_SOURCES.items():
        method = _chosen(experiment, key)
        if method is not None:
            yield from _conflicts_of(experiment, key, method, source, sources[key])


def _conflicts_of(experiment: Experiment, key: str, method: str, source: str, uri: str | None) -> Iterator[Conflict]:
    is_after = method in AFTER_TRAINING
    if uri is None:
        yield Conflict(
            (key, source, "search.space"),
            f"found {method}, and {source} is null: there are no images to {'adapt to' if is_after else 'label'}",
            f"name a folder or an s3:// prefix of images as {source}, or set {key} to none",
        )
    if is_after:
        return
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


def _noise(experiment: Experiment) -> Iterator[Conflict]:
    relabel, noise = experiment.labels.relabel, _chosen(experiment, "labels.noise")
    if relabel is not None and (
        (has_scheme(relabel) and not in_bucket(relabel)) or not relabel.lower().endswith(".csv")
    ):
        yield Conflict(
            ("labels.relabel",),
            f"found {relabel!r}; expected a .csv file on this machine or at an s3:// URI",
            "name corrections.csv, or s3://bucket/corrections.csv",
        )
    if noise is not None and experiment.model.weights == "none":
        yield Conflict(
            ("labels.noise", "model.weights", "search.space"),
            f"found {noise}, and model.weights is none: features of a random network say nothing about the labels",
            "set model.weights to pretrained, or labels.noise to none",
        )
    if noise is not None and experiment.search.folds:
        yield Conflict(
            ("labels.noise", "search.folds", "search.space"),
            f"found {noise}, and search.folds {experiment.search.folds}: images that are doubtful in one fold validate in another",
            "set search.folds to null, or labels.noise to none",
        )


def _chosen(experiment: Experiment, key: str) -> str | None:
    """Return a method other than none that the experiment, or a trial of it, has for `key`; one after training comes last."""
    section, _, name = key.partition(".")
    searched = [each.choices for each in space.read(experiment)[0].dimensions if each.key == key]
    values = (getattr(getattr(experiment, section), name), *(choice for choices in searched for choice in choices))
    methods = [str(one) for one in values if one != "none"]
    return next((one for one in methods if one not in AFTER_TRAINING), methods[0] if methods else None)


def label_columns(recipe: Recipe) -> Iterator[Conflict]:
    """Yield what is wrong with the columns of several sources."""
    names, uri = recipe.labels.columns, recipe.data.uri
    if not names:
        return
    advice = "list each source once, two or more; a single one is the column label"
    if len(names) < 2:
        yield Conflict(("labels.columns",), f"found {names[0]!r} alone; expected labels of two sources or more", advice)
    if len({name.strip().lower() for name in names}) < len(names):
        yield Conflict(("labels.columns",), f"found {', '.join(names)}: the same column twice", advice)
    if not is_table_name(uri):
        yield Conflict(
            ("labels.columns", "data.uri"),
            f"found {', '.join(names)}, and data.uri is {uri!r}, which has no columns; expected a .csv, .tsv, .parquet or "
            ".jsonl manifest",
            "list the images in such a table, or remove labels.columns",
        )
