from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.data.targets import Instances, Mask
from raytl.tasks.segmentation.explaining import EXPLAINING

CLASSES = ("background", "cell", "debris")
ANSWER = np.array([[0, 0, 1, 1], [0, 0, 1, 2]], np.uint8)


def test_each_class_of_the_map_but_the_background_is_a_statement_with_its_part_of_the_photo() -> None:
    statements = EXPLAINING.statements(ANSWER, CLASSES, None, None)
    assert [(each.name, each.confidence, each.correct) for each in statements] == [
        ("cell", 3 / 8, None), ("debris", 1 / 8, None),
    ]  # fmt: skip
    assert EXPLAINING.predicted(ANSWER, CLASSES) == ("cell", "debris")
    assert EXPLAINING.predicted(np.zeros((2, 2), np.uint8), CLASSES) == ()
    (background,) = EXPLAINING.statements(ANSWER, CLASSES, None, "background")
    assert background.confidence == 0.5


def test_the_truth_is_that_of_objects_or_of_what_occurs_in_a_mask(tmp_path: Path) -> None:
    assert EXPLAINING.true(Instances(4, 2, ())) == () and EXPLAINING.true(None) is None
    assert EXPLAINING.true(Mask("m", "/m", ())) is None, "it was not read yet"
    assert EXPLAINING.true(Mask("m", "/m", (), present=("background", "cell"))) == ("cell",)
    assert EXPLAINING.stored(tmp_path / "none") == {} and not EXPLAINING.has_mistakes


def test_the_score_of_a_class_is_its_mean_logit_where_it_is_predicted() -> None:
    logits = torch.tensor([[[[2.0, 1.0]], [[5.0, 0.0]]], [[[2.0, 3.0]], [[0.0, 0.0]]]])
    assert EXPLAINING.scores(logits, torch.tensor([1, 0])).tolist() == [2.5, 2.5]
    assert EXPLAINING.scores(logits, torch.tensor([0, 1])).tolist() == [0.5, 0.0]


def test_pixels_of_other_classes_have_no_part_in_the_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    EXPLAINING.scores(logits, torch.tensor([1])).sum().backward()
    assert logits.grad is not None
    chosen = logits.argmax(dim=1)[0] == 1
    assert logits.grad[0, [0, 2]].abs().max() == 0 and logits.grad[0, 1][~chosen].abs().max() == 0
    assert logits.grad[0, 1][chosen] == pytest.approx(torch.full((int(chosen.sum()),), 1 / 16).numpy())
