"""A validation with a temperature: what is scored, what is reported, and what a loaded model answers with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raytl.config.schema import Experiment
from raytl.data.targets import Box, Boxes
from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError
from raytl.metrics.scores import scores, softmax
from raytl.models.temperature import set_temperature
from raytl.tasks.calibration import validated
from raytl.tasks.defaults import completed
from raytl.tasks.detection.answer import Detections
from raytl.tasks.multilabel.scores import probabilities
from raytl.tasks.objects import Limits
from raytl.tasks.registry import task_named
from raytl.tasks.task import Rows

CLASSES = ("a", "b", "c")
PREPROCESS = Preprocess(32, 32, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def split(name: str, count: int = 400) -> tuple[list[Any], Rows]:
    """Return the truths and rows of answers that are three times too sure."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (count, 3))
    thresholds = np.full((count, 3), 0.5, np.float32)
    if name == "classification":
        return [int(rng.choice(3, p=row)) for row in softmax(logits)], ((3 * logits).astype(np.float32),)
    vectors = (rng.random((count, 3)) < probabilities(logits)).astype(np.int8)
    vectors[:20, 0] = -1
    return list(vectors), ((3 * logits).astype(np.float32), thresholds)


@pytest.mark.parametrize("name", ["classification", "multilabel"])
def test_a_validation_scores_the_calibrated_answers_and_says_what_that_changed(name: str) -> None:
    truths, rows = split(name)
    task = task_named(name)
    plain, result = (validated(task, calibrate, truths, rows, CLASSES) for calibrate in ("none", "temperature"))
    assert result.temperature == result.metrics["calibration/temperature"] == pytest.approx(3, rel=0.15)
    assert result.metrics["calibration/uncalibrated_log_loss"] == pytest.approx(plain.metrics["val/log_loss"])
    assert result.metrics["calibration/log_loss"] == pytest.approx(result.metrics["val/log_loss"], abs=1e-6)
    assert result.metrics["val/log_loss"] < plain.metrics["val/log_loss"] - 0.1
    assert result.metrics["calibration/ece"] < result.metrics["calibration/uncalibrated_ece"] - 0.05
    unmoved = [key for key in plain.metrics if key != "val/log_loss"]
    assert [result.metrics[key] for key in unmoved] == pytest.approx([plain.metrics[key] for key in unmoved])


@pytest.mark.parametrize("name", ["classification", "multilabel"])
def test_without_calibration_the_scores_are_those_of_the_task(name: str) -> None:
    truths, rows = split(name)
    task = task_named(name)
    plain, expected = validated(task, "none", truths, rows, CLASSES), task.validation(truths, rows, CLASSES)
    assert (plain.metrics, plain.temperature) == (expected.metrics, None)


def test_the_thresholds_of_labels_are_those_of_the_calibrated_probabilities() -> None:
    truths, rows = split("multilabel")
    task = task_named("multilabel")
    result = validated(task, "temperature", truths, rows, CLASSES)
    assert result.temperature is not None
    again = task.validation(truths, (rows[0] / np.float32(result.temperature), rows[1]), CLASSES)
    np.testing.assert_array_equal(result.buffers["thresholds"], again.buffers["thresholds"])


@pytest.mark.parametrize("name", ["classification", "multilabel"])
def test_a_network_answers_with_its_temperature_and_learns_without_it(name: str) -> None:
    module = nn.Flatten()
    module.register_buffer("thresholds", torch.full((3,), 0.5))
    inputs, task = torch.tensor([[2.0, -4.0, 1.0]]), task_named(name)

    def logits() -> np.ndarray:
        (answer,) = task.predict(module, inputs, [(32, 32)], PREPROCESS, Limits())
        return np.asarray(getattr(answer, "logits", answer))

    np.testing.assert_array_equal(logits(), [2.0, -4.0, 1.0])
    set_temperature(module, 2.0)
    np.testing.assert_array_equal(logits(), [1.0, -2.0, 0.5])
    np.testing.assert_array_equal(module(inputs).numpy(), inputs.numpy())


def test_the_best_epoch_is_the_one_whose_calibrated_answers_are_best() -> None:
    truths, (sharp,) = split("classification")
    task = task_named("classification")
    dull = sharp + np.random.default_rng(1).normal(0, 0.8, sharp.shape).astype(np.float32)
    best, other = (validated(task, "temperature", truths, (each,), CLASSES) for each in (sharp, dull / 3))
    assert best.metrics["val/log_loss"] < other.metrics["val/log_loss"]
    assert scores(truths, sharp)["log_loss"] > scores(truths, dull / 3)["log_loss"]


def experiment(task: str, **changes: Any) -> Experiment:
    return Experiment(name="one", data="photos", model="test_resnet", task=task, **changes)


def test_answers_are_calibrated_unless_the_task_has_no_probabilities() -> None:
    found = {task: completed(experiment(task)).calibrate for task in ("classification", "multilabel", "segmentation")}
    assert found == {"classification": "temperature", "multilabel": "temperature", "segmentation": "none"}


def test_a_temperature_for_a_task_without_probabilities_is_refused() -> None:
    with pytest.raises(ConfigError, match="calibrate: found 'temperature', which segmentation cannot apply"):
        completed(experiment("segmentation", calibrate="temperature"))


def test_a_validation_without_a_known_label_has_no_temperature() -> None:
    truths, rows = split("multilabel", 4)
    unknown = [np.full_like(truth, -1) for truth in truths]
    assert validated(task_named("multilabel"), "temperature", unknown, rows, CLASSES).temperature is None


def test_a_score_that_the_user_sets_wins_over_the_one_that_validation_chooses() -> None:
    box = [0.0, 0.0, 5.0, 5.0]
    truths = [Boxes(9, 9, (Box("a", *box),))] * 2
    answers = [Detections(np.array([box], np.float32), np.array([0.8], np.float32), np.array([i])) for i in (0, 1)]
    rows = task_named("detection").evidence(answers, truths)
    chosen, fixed, zero = (
        validated(task_named("detection"), "none", truths, rows, CLASSES, predict_score=score)
        for score in ("auto", 0.7, 0.0)
    )
    assert (chosen.predict_score, fixed.predict_score, zero.predict_score) == (pytest.approx(0.4), 0.7, 0.0)
    assert [each.metrics["predict/score"] for each in (chosen, fixed)] == [chosen.predict_score, 0.7]
    assert chosen.metrics["val/map"] == fixed.metrics["val/map"]


def test_an_experiment_of_an_earlier_version_may_have_its_default_for_tasks_without_objects() -> None:
    values = {"name": "a", "data": {"uri": "photos"}, "model": {"name": "test_resnet"}}
    completed(Experiment.model_validate({**values, "predict": {"score": 0.3}}))
    with pytest.raises(ConfigError, match="predict: classification answers without objects"):
        completed(Experiment.model_validate({**values, "predict": {"score": 0.4}}))
