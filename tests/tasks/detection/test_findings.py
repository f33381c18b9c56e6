"""The findings of a detector are those of its report."""

from __future__ import annotations

import numpy as np

from raytl.metrics.findings import BACKGROUND, CORRECT, WRONG_CLASS
from raytl.tasks.detection.findings import findings
from tests.tasks.detection.test_report import NAMES, evaluated


def test_findings_agree_with_the_worst_images_of_the_report() -> None:
    split = evaluated()
    result = findings(split.truths, split.rows, NAMES)
    by_image = [result.error[result.image == i].tolist() for i in range(4)]
    assert by_image == [[CORRECT] * 3, [CORRECT, CORRECT, BACKGROUND], [CORRECT, CORRECT, WRONG_CLASS], []]
    np.testing.assert_allclose(result.score, [1, 2 / 3, 2 / 3, 1])
    assert result.missed.sum() == 2 and result.thresholds.tolist() == [0.3, 0.3]
    assert len(result.boxes) == 9 and result.wanted.boxes[0].tolist() == [0, 0, 10, 10]


def test_a_model_without_answers_has_no_findings() -> None:
    split = evaluated(answered=False)
    result = findings(split.truths, split.rows, NAMES)
    assert len(result) == 0 and result.missed.all() and len(result.wanted) == 9
