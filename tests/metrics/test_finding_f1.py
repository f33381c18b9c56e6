"""The threshold with the highest F1 is chosen on one split and compared on another, by images."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.finding_f1 import best_threshold, compared_f1
from tests.metrics.coco import Image
from tests.metrics.test_scene_findings import of

BOX, AWAY = [0, 0, 100, 100], [300, 300, 340, 340]


def scene(away: float) -> Image:
    """Return an image with one object that is found at 0.8, and a finding of nothing with the confidence `away`."""
    return Image([BOX], [0], [False], [BOX, AWAY], [0.8, away], [0, 0])


def test_what_is_mostly_wrong_is_cut_off() -> None:
    val, test = of([scene(0.5)] * 10), of([scene(0.4)] * 8 + [scene(0.9)] * 2)
    threshold = best_threshold(val)
    assert threshold == pytest.approx(0.65)
    own, best, gain = compared_f1(test, threshold)
    assert (own, best) == (pytest.approx(2 / 3), pytest.approx(20 / 22))
    assert gain.value == pytest.approx(best - own) and 0 < gain.low < gain.value < gain.high


def test_without_findings_or_objects_nothing_is_compared() -> None:
    empty = of([Image([], [], [], [], [], [])] * 3)
    assert np.isnan(best_threshold(empty))
    assert np.isnan(compared_f1(empty, 0.5)[2].value)
