"""The options of a call replace the run's own limits of objects, key by key."""

from __future__ import annotations

import pytest

from raytl.config.predict import PredictConfig
from raytl.errors import ConfigError, UserError
from raytl.evaluation.limits import limits, reported
from raytl.tasks.objects import Limits
from raytl.tasks.registry import task_named


def test_options_replace_keys_of_the_run_and_none_leaves_them() -> None:
    config = reported(task_named("detection"), PredictConfig(score=0.4, nms_iou=0.5), {"score": 0.2, "nms_iou": None})
    assert limits(config) == Limits(score=0.2, nms_iou=0.5, max_detections=100)


def test_values_out_of_range_are_reported_together() -> None:
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*predict.score: found 2.*predict.max_detections: found 0"):
        reported(task_named("instances"), PredictConfig(), {"score": 2.0, "max_detections": 0})


def test_a_task_without_objects_rejects_limits() -> None:
    with pytest.raises(UserError, match="score: a model for segmentation answers without objects"):
        reported(task_named("segmentation"), PredictConfig(), {"score": 0.5})
    assert reported(task_named("segmentation"), PredictConfig(), {"score": None}) == PredictConfig()
