"""The experiment file that the advice stands for: the keys that the data decide, the advised weights, and the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raytl.advice.result import Advice
from raytl.config.choice import Choice
from raytl.config.override import assignments, by_leaf
from raytl.starter.draft import Draft

_RECIPE = (
    "recipe: auto chooses the following when training starts, from these images and from features of these weights that "
    "`raytl advise` measured. A key that you set wins."
)
_MODEL = ("model.name", "model.weights")


def advised_draft(advice: Advice, images: Draft, overrides: Sequence[str]) -> Draft:
    """Return `images`, the draft for the images and the advised model, with the other `overrides` and the advice."""
    weights, *others = advice.sentences
    own = {choice.key for choice in images.choices}
    given = {key: value for key, value in by_leaf(assignments(overrides)).items() if key not in _MODEL}
    rest = (replace(choice, value=given.get(choice.key, choice.value)) for choice in images.choices)
    choices = [replace(choice, why=weights) if choice.key == "model.name" else choice for choice in rest]
    choices += [Choice(key, value, "Set for this advice.") for key, value in given.items() if key not in own]
    notes = (*images.notes, *others, f"Not measured: {'; '.join(advice.unmeasured)}.")
    return replace(images, choices=tuple(choices), notes=notes, recipe=advice.recipe, recipe_note=_RECIPE)
