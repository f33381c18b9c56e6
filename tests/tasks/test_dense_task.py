"""The dense tasks are composed alike: each builds its network, learns from blank targets and rejects what it cannot apply."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.defaults import completed
from raytl.tasks.dense_task import DenseTask
from raytl.tasks.objects import Limits
from raytl.tasks.registry import task_named

DENSE = ("segmentation", "detection", "instances")
CLASSES = ("cat", "dog")


def experiment(task: str, **values: Any) -> Experiment:
    base: dict[str, Any] = {
        "name": "e",
        "task": task,
        "data": {"uri": "d"},
        "model": {
            "name": "test_resnet",
            "weights": "none",
            "preprocess": {"image_px": 64},
            "neck": {"channels": 32},
        },
    }
    return override(Experiment.model_validate(base), values)


@pytest.mark.parametrize("name", DENSE)
def test_a_network_learns_from_blank_targets_and_answers_in_the_pixels_of_photos(name: str) -> None:
    torch.manual_seed(0)
    task, settings = task_named(name), completed(experiment(name))
    backbone = task.build(settings.model, CLASSES, ENVIRONMENT)
    size = backbone.preprocess.view_size
    targets, inputs, ids = task.blank_targets(CLASSES, 2, size), torch.rand(2, 3, *size), torch.arange(2)
    objective = task.objective(settings, CLASSES, ())
    loss = objective(backbone.module.train(), inputs, targets, ids)
    assert math.isfinite(loss.item()) and loss.item() > 0
    assert (objective.normalizer(targets) or 2) > 0
    with torch.inference_mode():
        answers = task.predict(
            backbone.module.eval(), inputs, [(90, 60), (30, 70)], backbone.preprocess, task.limits or Limits()
        )
    assert len(answers) == 2
    assert len(task.evidence(answers, answers)[0]) == 2


@pytest.mark.parametrize("name", DENSE)
def test_an_unknown_head_is_rejected_before_anything_is_built(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"model.head: {name} has no head 'linear'; expected "):
        completed(experiment(name, **{"model.head": "linear"}))


@pytest.mark.parametrize("name", DENSE)
def test_the_recipe_replaces_what_is_not_set(name: str) -> None:
    task = task_named(name)
    assert isinstance(task, DenseTask)
    whole = completed(experiment(name, **{"train.epochs": 2}))
    assert (whole.train.epochs, whole.transfer.unfreeze) == (2, "all")
    assert whole.train.metric == f"val/{task.metrics[0]}"
