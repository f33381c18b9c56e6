"""The `retrain` section: when a tick trains, how, and what a challenger has to be to become the champion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Fraction, Seconds, Section

Outcome = Literal["promote", "keep", "reject", "attention", "failure"]


class WhenConfig(Section):
    """What is reason enough to train. The first three are alternatives; data that did not change is never trained on again."""

    new_samples: Annotated[int, Field(ge=1)] | None = 200
    """Images added or relabelled since the last training; null = their number is no reason."""
    or_new_class: Annotated[int, Field(ge=1)] | None = 20
    """Images of a class that the champion does not know; null = no reason."""
    or_drift: Annotated[float, Field(gt=0, le=1)] | None = None
    """How far new images can be told from those of the champion's training, by its own features: 0 = not at all, 1 = always (twice the AUC over one half); it has to be significant too. null = no reason."""
    or_every: Seconds | None = None
    """Time since the last training, such as '30 d', after which any change is reason enough; null = no reason."""
    at_most_every: Seconds | None = None
    """No two trainings within this time, such as '1 d'; null = no bound."""


class SearchAgainConfig(Section):
    """When the recipe itself is searched anew."""

    every: Annotated[int, Field(ge=1)]
    """Every so many trainings one is a sweep (`raytl tune`)."""
    trials: Annotated[int, Field(ge=1)] = 16
    """Trials of that sweep."""


class HowConfig(Section):
    """How a challenger is trained."""

    start_from: Literal["champion", "model"] = "champion"
    """champion = from its weights, with the head's rows of the classes that it knows; model = from model.weights, as the first one was."""
    recipe: Literal["champion", "experiment"] = "champion"
    """Whose model, transfer, augment, optim and train sections count: those that the champion was trained with, or those of this file."""
    search_again: SearchAgainConfig | None = None
    """Search the recipe again every now and then; null = never."""
    removed_classes: Literal["wait", "drop"] = "wait"
    """What to do when a class of the champion's has no training images any more: nothing, and say so, or train without it."""


class GateConfig(Section):
    """What a challenger has to be, beside the champion on the same frozen evaluation images."""

    metric: Literal["balanced_accuracy", "accuracy", "macro_f1", "log_loss"] = "balanced_accuracy"
    """What has to be better."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """By how much, in units of the metric (0.01 = one point of accuracy)."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """How sure that has to be at each comparison: with two equal models, 1 - confidence of the ticks would promote."""
    max_class_drop: Fraction | None = 0.05
    """A class whose recall falls by more, beyond the noise of its images, is reason to reject; null = none is."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    """The time of one image on this machine, in ms, the quickest of 20; null = no bound."""
    max_size_mb: Annotated[float, Field(gt=0)] | None = None
    """The size of the weights, in MB (10^6 bytes); null = no bound."""


class NotifyConfig(Section):
    """Who is told. The address is a secret: it stays in the environment."""

    webhook_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The name of the environment variable that holds the webhook's URL (https, or http on this machine), which is sent Slack-shaped JSON; null = no message is sent."""
    on: Annotated[tuple[Outcome, ...], Field(min_length=1)] = ("promote", "reject", "attention", "failure")
    """Which outcomes are told; attention = a tick that waits for somebody to look, such as for a class without images."""
    mlflow_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The name of the environment variable that holds MLflow's tracking URI, where versions are mirrored to; null = nowhere."""


class RetrainConfig(Section):
    """What one tick of `raytl retrain` does."""

    when: WhenConfig = WhenConfig()
    how: HowConfig = HowConfig()
    gate: GateConfig = GateConfig()
    notify: NotifyConfig = NotifyConfig()
    registry: str | None = None
    """Where the versions are: a folder or s3:// prefix of this model's own, such as s3://bucket/models/trash."""
    keep: Annotated[int, Field(ge=1)] = 10
    """Versions that `raytl models gc` keeps beside those that an alias, a tick or as many of the last moves need."""
