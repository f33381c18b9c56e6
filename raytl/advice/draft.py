"""The experiment file that the advice stands for: the keys that the data decide, the advised weights, and the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raytl.advice.result import Advice
from raytl.advice.words import curve_sentence, suspects_sentence, transfer_sentence, weights_sentence
from raytl.config.choice import Choice
from raytl.config.environment import escape
from raytl.config.override import assignments
from raytl.starter.draft import Draft

_RECIPE = (
    "recipe: auto chooses the following when training starts, from these images and from features of these weights that "
    "`raytl advise` measured. A key that you set wins."
)


def advised_draft(advice: Advice, images: Draft, overrides: Sequence[str]) -> Draft:
    """Return `images`, the draft of `raytl init`, with the advised weights, `overrides`, and the advice as comments."""
    fit = advice.advised_fit
    model = [Choice("model.name", fit.candidate.model, weights_sentence(advice))]
    if fit.candidate.weights != "pretrained":
        model.append(Choice("model.weights", escape(fit.candidate.weights)))
    given = [Choice(key, value, "Set when the advice was asked for.") for key, value in assignments(overrides).items()]
    own = {choice.key for choice in (*model, *given)}
    rest = [choice for choice in images.choices if choice.key not in own]
    spoken = (transfer_sentence(advice), curve_sentence(advice.curve), suspects_sentence(advice))
    unmeasured = f"Not measured: {'; '.join(advice.unmeasured)}."
    given = [choice for choice in given if choice.key not in {each.key for each in model}]
    return replace(
        images,
        choices=(*rest, *model, *given),
        notes=(*images.notes, *spoken, unmeasured),
        recipe=advice.recipe,
        recipe_note=_RECIPE,
    )
