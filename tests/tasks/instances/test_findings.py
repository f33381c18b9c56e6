"""The findings of an instance segmenter are matched by masks and shown by boxes."""

from __future__ import annotations

from raytl.tasks.instances.findings import findings
from tests.tasks.instances.test_report import NAMES, evaluated


def test_findings_are_matched_by_masks() -> None:
    split = evaluated()
    result = findings(split.truths, split.rows, NAMES)
    assert result.correct.tolist() == [True] * 3 and result.image.tolist() == [0] * 3
    assert result.wanted.confidence.tolist() == [0.5, 0.75, 0.25, 0.0, 0.0, 0.0]
    assert result.missed.tolist() == [False, False, True, True, True, True]
    assert result.score.round(2).tolist() == [0.8, 0.0] and result.wanted.boxes.shape == (6, 4)
