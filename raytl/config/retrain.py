"""The `retrain` section: when a tick trains, how, and when the challenger replaces the champion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Fraction, Seconds, Section

Outcome = Literal["promote", "keep", "reject", "attention", "failure"]


class WhenConfig(Section):
    """The conditions for training. One satisfied condition suffices; unchanged data never triggers training."""

    new_samples: Annotated[int, Field(ge=1)] | None = 200
    """Train if at least this many images were added or relabelled since the last training. null = off."""
    or_new_class: Annotated[int, Field(ge=1)] | None = 20
    """Train if a class that the champion does not know has at least this many images. null = off."""
    or_drift: Annotated[float, Field(gt=0, le=1)] | None = None
    """Train if a classifier on the champion's features separates the new images from its training images at least this well, and significantly: 2 AUC - 1, from 0 (no drift) to 1. null = off."""
    or_alarm: bool = False
    """Train if the monitor of retrain.feedback has an alarm since the last training, if anything changed."""
    or_every: Seconds | None = None
    """Train after this time since the last training, such as '30 d', if anything changed, with the tolerance of at_most_every. null = off."""
    at_most_every: Seconds | None = None
    """Minimum time between the starts of two trainings, such as '1 d'; a tick may be 5 % early, by at most 10 minutes (an hour from '1 d' on), so that a schedule of the same period skips none. null = none."""


class SearchAgainConfig(Section):
    """The conditions for a sweep to search the recipe again."""

    every: Annotated[int, Field(ge=1)]
    """Run a sweep (`raytl tune`) in place of every Nth training. It starts from the earlier sweeps below storage.uri, unless search.prior is set."""
    trials: Annotated[int, Field(ge=1)] = 16
    """Trials of that sweep."""


class HowConfig(Section):
    """The training of the challenger."""

    start_from: Literal["champion", "model"] = "champion"
    """Initial weights: champion = those of the champion, with its head's rows for the classes it knows; model = model.weights."""
    recipe: Literal["champion", "experiment"] = "champion"
    """The model, transfer, augment, optim, train and auxiliary sections to use: those of the champion's training, or those of this file."""
    search_again: SearchAgainConfig | None = None
    """Search the recipe again from time to time. null = never."""
    removed_classes: Literal["wait", "drop"] = "wait"
    """If a class of the champion has no training images left: wait = do not train, and report it; drop = train without the class."""


class GateConfig(Section):
    """The conditions for promotion, measured for both models on the same frozen evaluation images."""

    metric: str | None = None
    """Metric that has to improve: one of the task's, such as accuracy, macro_f1 or log_loss. null = the task's first: balanced_accuracy, mAP or mIoU."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """Minimum improvement, in units of the metric (0.01 = one point of accuracy)."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Confidence of each comparison. With two equal models, a fraction of 1 - confidence of the ticks promotes."""
    max_class_drop: Fraction | None = 0.05
    """Reject if the recall of a class (or its IoU or average precision) drops by more than this and by more than noise, corrected for the number of classes. null = off."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Maximum latency of one image on this machine, in ms (fastest of 20). null = no limit."""
    max_size_mb: Annotated[float, Field(gt=0)] | None = None
    """Maximum size of the weights, in MB (10^6 bytes). null = no limit."""


class NotifyConfig(Section):
    """The destinations of outcome reports. Addresses are secrets and stay in the environment."""

    webhook_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Name of the environment variable with the webhook URL (https, or http on this machine). The webhook receives JSON in Slack's format. null = no webhook."""
    on: Annotated[tuple[Outcome, ...], Field(min_length=1)] = ("promote", "reject", "attention", "failure")
    """The outcomes to report. attention = a tick that waits for a person, for example because a class has no images."""
    mlflow_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Name of the environment variable with the MLflow tracking URI that versions are mirrored to. null = no mirror."""


class ExportConfig(Section):
    """The bundle that a tick exports of its challenger, for `raytl serve`."""

    to: Literal["onnx", "openvino"] = "onnx"
    """The runtime that runs it: ONNX Runtime or OpenVINO."""
    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    """The precision of its arithmetic; see `raytl export --precision`."""
    input: Literal["photo", "crop"] | None = None
    """What the graph takes: whole photos, or views that the client makes. null = photo for onnx, crop for openvino."""
    max_drop: Annotated[float, Field(ge=0, le=100)] = 0.5
    """Points that bf16 and int8 may lose on validation, at 95 % confidence. A challenger whose export fails this is rejected."""


class RetrainConfig(Section):
    """The policy of `raytl retrain`."""

    when: WhenConfig = WhenConfig()
    how: HowConfig = HowConfig()
    gate: GateConfig = GateConfig()
    export: ExportConfig | None = None
    """Export each challenger to a bundle that is published with it, so that `raytl serve models:...@champion` can follow the alias. null = no bundle."""
    notify: NotifyConfig = NotifyConfig()
    registry: str | None = None
    """The registry of this model's versions: a folder or s3:// prefix of its own, such as s3://bucket/models/trash."""
    feedback: str | None = None
    """The folder or s3:// prefix of the feedback of `raytl serve`. Images that `raytl collect --labels` labelled there join training, and count as new samples; they never join validation or test. null = none."""
    keep: Annotated[int, Field(ge=1)] = 10
    """Number of versions that `raytl models gc` keeps, besides those that aliases, ticks and recent promotions refer to."""
