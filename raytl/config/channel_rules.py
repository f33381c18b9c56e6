"""Rules of images with other than three channels: what contradicts, and what cannot take effect."""

from __future__ import annotations

from collections.abc import Iterator

from raytl.config.schema import Recipe

RGB = 3
Problem = tuple[tuple[str, ...], str, str]
"""The keys, the fault and the advice."""


def contradictions(recipe: Recipe) -> Iterator[Problem]:
    """Yield what contradicts the number of channels."""
    channels = recipe.model.channels
    yield from _statistics(recipe)
    yield from _ranges(recipe)
    if channels != RGB and recipe.data.bit_depth != "auto":
        fault = f"found {recipe.data.bit_depth}, and model.channels is {channels}, whose values data.value_range scales"
        yield ("data.bit_depth", "model.channels"), fault, "set data.value_range, or remove it"
    if channels != RGB and recipe.data.window is not None:
        fault = f"found, and model.channels is {channels}; DICOM images are grey or RGB"
        yield ("data.window", "model.channels"), fault, "remove one of the two"
    if recipe.model.stem == "zero" and channels < RGB:
        yield (
            ("model.stem", "model.channels"),
            f"found zero, which keeps the filters of RGB, and model.channels is {channels}",
            "set model.stem to repeat or mean",
        )


def without_effect(recipe: Recipe) -> Iterator[Problem]:
    """Yield the keys that cannot take effect: each with its cause, the reason and the advice."""
    model = recipe.model
    if model.channels == RGB:
        yield (
            ("model.stem", "model.channels"),
            "model.channels is 3, so the first layer stays",
            "set model.channels, or remove it",
        )
    elif model.weights == "none":
        yield ("model.stem", "model.weights"), "model.weights is none, so there are no filters to adapt", "remove it"


def _statistics(recipe: Recipe) -> Iterator[Problem]:
    preprocess, channels = recipe.model.preprocess, recipe.model.channels
    given = {name: values for name in ("mean", "std") if (values := getattr(preprocess, name)) is not None}
    for name, values in given.items():
        if len(values) != channels:
            yield (
                (f"model.preprocess.{name}", "model.channels"),
                f"found {len(values)} numbers, and model.channels is {channels}",
                f"write {channels}, or leave model.preprocess.mean and std out: with other than three channels, they are measured "
                "on the training images",
            )
    if channels != RGB and len(given) == 1:
        (name,) = given
        yield (
            (f"model.preprocess.{name}", "model.channels"),
            f"found without its counterpart, and model.channels is {channels}, so the other one would be measured",
            "write both mean and std, or neither",
        )


def _ranges(recipe: Recipe) -> Iterator[Problem]:
    given, channels = recipe.data.value_range, recipe.model.channels
    if isinstance(given, list) and (channels == RGB or len(given) != channels):
        wanted = "one [low, high]" if channels == RGB else f"one [low, high], or {channels} of them"
        yield (
            ("data.value_range", "model.channels"),
            f"found {len(given)} ranges, and model.channels is {channels}",
            f"write {wanted}",
        )
    for low, high in [given] if isinstance(given, tuple) else given or []:
        if not low < high:
            yield ("data.value_range",), f"found [{low:g}, {high:g}]; expected [low, high]", "write the lower one first"
