from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from raytl.tasks.explaining import class_logits, explained_tasks, explaining_of


def test_the_score_of_a_class_is_its_logit() -> None:
    logits = torch.arange(6.0).reshape(2, 3)
    assert class_logits(logits, torch.tensor([2, 0])).tolist() == [2.0, 3.0]


def test_tasks_that_score_classes_are_explained() -> None:
    assert explained_tasks() == ("classification", "multilabel", "segmentation")


def test_a_task_of_another_package_may_lack_it() -> None:
    task: Any = SimpleNamespace(name="regression")
    assert explaining_of(task) is None
