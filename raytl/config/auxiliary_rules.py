"""Rules of what is learned from single images: auxiliary heads, and train.loss: elr and small_loss."""

from __future__ import annotations

from collections.abc import Iterator

from raytl.config.auxiliary import ROTATION, UNCERTAINTY
from raytl.config.conflict import Conflict, Idle
from raytl.config.schema import Recipe
from raytl.uris import is_table_name

ELR = "elr"
"""The value of `train.loss` that remembers what the network said of each image."""
SMALL_LOSS = "small_loss"
"""The value of `train.loss` that remembers the loss of each image, and leaves out those with the largest."""
ROBUST_LOSSES = ("gce", ELR, SMALL_LOSS)
"""The values of `train.loss` for wrong labels."""
_MIXES = ("mixup", "cutmix")
_TURNS = ("rotate90", "vflip")


def image_conflicts(recipe: Recipe) -> Iterator[Conflict]:
    """Yield what contradicts them."""
    auxiliary = recipe.auxiliary
    if auxiliary.columns:
        yield from _column_conflicts(recipe)
    for key, reason in _of_single_images(recipe):
        for name in _MIXES:
            value = getattr(recipe.augment, name)
            if value > 0:
                yield Conflict(
                    (f"augment.{name}", key),
                    f"found {value:g}, and {reason}; a mixed image is two",
                    f"set augment.{name} to 0",
                )
    if auxiliary.rotation:
        yield from _rotation_conflicts(recipe)
    if recipe.transfer.unfreeze == 0 and (auxiliary.rotation or _learns_columns(recipe)):
        key = "auxiliary.rotation" if auxiliary.rotation else "auxiliary.weight"
        yield Conflict(
            (key, "transfer.unfreeze", "search.space"),
            "found, and transfer.unfreeze is 0: no stage is trained, so its loss moves nothing",
            "set transfer.unfreeze to 1 or more, or the weight to 0",
        )
    causes = [key for key, _ in _of_single_images(recipe)] + ["auxiliary.rotation"] * bool(auxiliary.rotation)
    if recipe.train.loss == SMALL_LOSS and recipe.train.epochs == 1:
        yield Conflict(
            ("train.loss", "train.epochs", "search.space"),
            "found small_loss, and train.epochs is 1: images are left out from the second epoch on, by their loss in the first",
            "train for more epochs, or set train.loss to cross_entropy",
        )
    if recipe.train.compile and causes:
        yield Conflict(
            ("train.compile", causes[0], "search.space"),
            f"found true, and {causes[0]} changes the loss of each step, which is then not compiled",
            "set train.compile to false",
        )


def idle_beside(recipe: Recipe) -> Iterator[Idle]:
    """Yield the keys that nothing uses."""
    auxiliary, loss = recipe.auxiliary, recipe.train.loss
    if not auxiliary.columns and not (auxiliary.weight == UNCERTAINTY and auxiliary.rotation):
        advice = "name columns, or remove this key"
        yield Idle("auxiliary.weight", "auxiliary.columns", "auxiliary.columns is empty", advice)
    if loss != ELR:
        for name in ("elr_weight", "elr_momentum"):
            yield Idle(f"train.{name}", "train.loss", f"train.loss is {loss}", "set train.loss to elr, or remove it")
    if loss != SMALL_LOSS:
        for name in ("small_loss_keep", "small_loss_ramp"):
            advice = "set train.loss to small_loss, or remove it"
            yield Idle(f"train.{name}", "train.loss", f"train.loss is {loss}", advice)


def _learns_columns(recipe: Recipe) -> bool:
    return bool(recipe.auxiliary.columns) and recipe.auxiliary.weight != 0


def _of_single_images(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield the keys of what needs to know which image an output is of, and why."""
    if _learns_columns(recipe):
        yield "auxiliary.columns", "auxiliary.columns has a value for each image"
    if recipe.train.loss == ELR:
        yield "train.loss", "train.loss is elr, which remembers what the network said of each image"
    if recipe.train.loss == SMALL_LOSS:
        yield "train.loss", "train.loss is small_loss, which remembers the loss of each image"


def _rotation_conflicts(recipe: Recipe) -> Iterator[Conflict]:
    for name in _TURNS:
        if getattr(recipe.augment, name):
            yield Conflict(
                (f"augment.{name}", "auxiliary.rotation"),
                "found true, and auxiliary.rotation is on: an image that the augmentation turned has no upright position",
                f"set augment.{name} to false, or auxiliary.rotation to 0",
            )
    if isinstance(recipe.model.preprocess.image_px, tuple):
        yield Conflict(
            ("model.preprocess.image_px", "auxiliary.rotation"),
            "found a frame, and auxiliary.rotation is on: the padding gives the turn away; expected the side of a square",
            "set one number, or auxiliary.rotation to 0",
        )
    if ROTATION in recipe.auxiliary.columns:
        yield Conflict(
            ("auxiliary.columns", "auxiliary.rotation"),
            f"found {ROTATION}, and auxiliary.rotation is on: two heads of one name",
            "give the column another name in the manifest, or set auxiliary.rotation to 0",
        )


def _column_conflicts(recipe: Recipe) -> Iterator[Conflict]:
    columns, uri = recipe.auxiliary.columns, recipe.data.uri
    if len({name.strip().lower() for name in columns}) < len(columns):
        yield Conflict(
            ("auxiliary.columns",), f"found {', '.join(columns)}: the same column twice", "list each column once"
        )
    if not is_table_name(uri):
        yield Conflict(
            ("auxiliary.columns", "data.uri"),
            f"found {', '.join(columns)}, and data.uri is {uri!r}, which has no columns; expected a .csv, .tsv, .parquet or "
            ".jsonl manifest",
            "list the images in such a table, or remove auxiliary.columns",
        )
