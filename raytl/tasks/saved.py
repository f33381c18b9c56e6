"""Load a saved model with the task that it was trained for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from raytl.config.schema import ModelConfig
from raytl.events import OnEvent, ignore
from raytl.models.backbone import Backbone
from raytl.models.card import Card
from raytl.models.saved_model import load_model, read_card, saved_model_directory
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.registry import task_named
from raytl.tasks.task import Task


@dataclass(frozen=True)
class Saved:
    """A saved model: its task, its network in evaluation mode on the CPU, and its card."""

    task: Task
    module: nn.Module
    card: Card
    backbone: Backbone


def load_saved(directory: str | Path, on_event: OnEvent = ignore) -> Saved:
    """Return the saved model in `directory`, or of the best checkpoint of a run.

    Raises:
        ModelError: there is no saved model, or its tensors do not match the digest in the card.
        ConfigError: its task is not installed.
    """
    folder = saved_model_directory(directory) or Path(directory)
    task = task_named(read_card(folder).task)
    built: list[Backbone] = []

    def build(config: ModelConfig, classes: tuple[str, ...]) -> Backbone:
        built.append(task.build(config, classes, ENVIRONMENT))
        return built[-1]

    module, card = load_model(folder, on_event, build)
    return Saved(task, module, card, replace(built[-1], module=module, preprocess=card.preprocess))
