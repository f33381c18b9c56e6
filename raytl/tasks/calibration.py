"""Score a validation split with the temperature that it chooses, and say what the temperature changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.calibration import (
    calibration_error,
    decision_losses,
    expected_temperature,
    fit_temperature,
)
from raytl.tasks.task import Rows, Task, Validation

_SCORE = "predict/score"
MAX_LOGITS = 1 << 23
"""Number of logits from which a temperature is fitted: 8,000 images of 1,000 classes, in about a second."""


def validated(
    task: Task,
    calibrate: str,
    truths: Sequence[Any],
    rows: Rows,
    classes: Sequence[str],
    label_smoothing: float = 0.0,
    predict_score: float | Literal["auto"] = "auto",
) -> Validation:
    """Return the scores of `rows`, the answers of a network without a temperature; with `calibrate: temperature`, of the
    calibrated answers.

    So `val/log_loss`, which decides ties between epochs, is that of the model as it would be saved. `calibration/...` has the
    temperature, and the calibration error and log loss of the decisions with and without it. `label_smoothing` is what
    the network was trained with: it tells which temperature to expect. `predict/score` has the lowest score of the objects that
    the model reports: `predict_score`, or what the split chooses.
    """
    result = _calibrated(task, calibrate, truths, rows, classes, label_smoothing)
    if result.predict_score is None:
        return result
    score = result.predict_score if predict_score == "auto" else predict_score
    return replace(result, metrics=result.metrics | {_SCORE: score}, predict_score=score)


def _calibrated(
    task: Task, calibrate: str, truths: Sequence[Any], rows: Rows, classes: Sequence[str], label_smoothing: float
) -> Validation:
    if calibrate == "none" or task.calibration is None:
        return task.validation(truths, rows, classes)
    targets, logits = _some(*task.calibration(truths, rows))
    if not len(targets):  # images without a known label
        return task.validation(truths, rows, classes)
    temperature = fit_temperature(targets, logits, expected_temperature(label_smoothing))
    result = task.validation(truths, (divided(rows[0], temperature), *rows[1:]), classes)
    record = {
        "calibration/temperature": temperature,
        "calibration/ece": calibration_error(targets, logits / temperature),
        "calibration/uncalibrated_ece": calibration_error(targets, logits),
        "calibration/log_loss": float(decision_losses(targets, logits / temperature).mean()),
        "calibration/uncalibrated_log_loss": float(decision_losses(targets, logits).mean()),
    }
    return replace(result, metrics=result.metrics | record, temperature=temperature)


def _some(targets: NDArray[np.int64], logits: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the decisions, of very many a sample that is always the same."""
    if logits.size <= MAX_LOGITS:
        return targets, logits
    count = max(1, len(targets) * MAX_LOGITS // logits.size)
    places = np.sort(np.random.default_rng(0).choice(len(targets), count, replace=False))
    return targets[places], logits[places]


def divided(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return the logits divided by `temperature`; the same array if it is 1."""
    return logits if temperature == 1 else logits / np.float32(temperature)
