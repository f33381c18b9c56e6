"""The options of a call replace the run's own limits of objects, key by key."""

from __future__ import annotations

import pytest

from raytl.config.predict import PredictConfig
from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError, UserError
from raytl.evaluation.limits import limits, reported
from raytl.models.card import Card
from raytl.tasks.objects import Limits
from raytl.tasks.registry import task_named


def card(predict_score: float | None) -> Card:
    preprocess = Preprocess(32, 32, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Card("m", ("a",), preprocess, "none", "detection", predict_score=predict_score)


def test_options_replace_keys_of_the_run_and_none_leaves_them() -> None:
    config = reported(task_named("detection"), PredictConfig(score=0.4, nms_iou=0.5), {"score": 0.2, "nms_iou": None})
    assert limits(config, card(0.6)) == Limits(score=0.2, nms_iou=0.5, max_detections=100)


def test_without_a_number_the_score_is_that_of_the_model() -> None:
    assert limits(PredictConfig(), card(0.6)).score == 0.6
    assert limits(PredictConfig(), card(None)).score == 0.3, "a model of an earlier version"
    assert limits(PredictConfig(score=0.3), card(0.6)).score == 0.3, (
        "a run of an earlier version, or a number that was set"
    )


def test_values_out_of_range_are_reported_together() -> None:
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*predict.score: found 2.*predict.max_detections: found 0"):
        reported(task_named("instances"), PredictConfig(), {"score": 2.0, "max_detections": 0})


def test_a_task_without_objects_rejects_limits() -> None:
    with pytest.raises(UserError, match="score: a model for segmentation answers without objects"):
        reported(task_named("segmentation"), PredictConfig(), {"score": 0.5})
    assert reported(task_named("segmentation"), PredictConfig(), {"score": None}) == PredictConfig()
