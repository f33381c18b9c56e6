"""Limit the objects that predictions report, by the run's `predict` section and the options of a call."""

from __future__ import annotations

from raytl.config.override import with_options
from raytl.config.predict import PredictConfig, PredictOptions
from raytl.errors import UserError
from raytl.models.card import Card
from raytl.models.predict_score import DEFAULT_SCORE
from raytl.tasks.objects import Limits
from raytl.tasks.task import Task


def reported(task: Task, config: PredictConfig, options: PredictOptions) -> PredictConfig:
    """Return `config` with `options` in place of its keys.

    Raises:
        UserError: `task` has no objects to limit, or a value is out of range.
    """
    given = [name for name, value in options.items() if value is not None]
    if given and task.limits is None:
        raise UserError(
            f"{', '.join(given)}: a model for {task.name} answers without objects, so nothing is limited; leave it out"
        )
    return with_options(config, options)


def limits(config: PredictConfig, card: Card) -> Limits:
    """Return the limits that `config` states, with the score in the model's `card` for `auto`."""
    chosen = DEFAULT_SCORE if card.predict_score is None else card.predict_score
    return Limits(chosen if config.score == "auto" else config.score, config.nms_iou, config.max_detections)
