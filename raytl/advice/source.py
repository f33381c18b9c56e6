"""Advice for what a command line names: images or an experiment file, and texts of candidates."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.advice.candidates import default_candidates, named_candidates
from raytl.advice.draft import advised_draft
from raytl.advice.driver import advise
from raytl.advice.result import Advice
from raytl.config.machine import assignment
from raytl.config.override import assignments, by_leaf
from raytl.config.schema import Experiment
from raytl.events import OnEvent
from raytl.starter import Draft, draft_from, experiment_from
from raytl.store.s3_settings import S3Settings


def advice_from(
    source: str, weights: Sequence[str] | None, model: str | None, overrides: Sequence[str], on_event: OnEvent
) -> Advice:
    """Return the advice for images, or for the data of an experiment file.

    Raises:
        UserError: the source, the candidates or the images are wrong.
    """
    return advice_for(experiment_from(source, model, overrides, on_event), weights, model, on_event)


def draft_of(advice: Advice, source: str, overrides: Sequence[str], on_event: OnEvent) -> Draft:
    """Return the experiment file for the images at `source` that the advice stands for."""
    chosen = advice.advised
    weights = [] if chosen.weights == "pretrained" else [assignment("model.weights", chosen.weights)]
    values = by_leaf(assignments(overrides))
    rest = [assignment(key, value) for key, value in values.items() if key != "model.weights"]
    return advised_draft(advice, draft_from(source, chosen.model, [*rest, *weights], on_event), overrides)


def advice_for(experiment: Experiment, weights: Sequence[str] | None, model: str | None, on_event: OnEvent) -> Advice:
    """Return the advice for the data of an experiment; `model` is that of files of `weights` which do not say theirs."""
    s3 = S3Settings.of(experiment.storage)
    if weights is None:
        return advise(experiment, default_candidates(experiment.model), False, on_event)
    return advise(experiment, named_candidates(weights, model, s3), True, on_event)
