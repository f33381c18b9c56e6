"""The charts of retraining, narrow and wide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from raytl.pages.figures import NARROW_IN, WIDE_IN, png
from raytl.retraining.page.plots import Point, intervals, timeline
from raytl.tasks.reporting import Slice
from tests.figures import faults

START = datetime(2026, 9, 1, 6, tzinfo=UTC)
OUTCOMES = ("promote", "keep", "reject")


def points(count: int) -> list[Point]:
    return [Point(START + timedelta(days=3 * n), 0.8 + n % 5 / 50, OUTCOMES[n % 3], str(n + 1)) for n in range(count)]


@pytest.mark.parametrize("width", [NARROW_IN, WIDE_IN], ids=["narrow", "wide"])
def test_versions_over_time_have_a_legend_units_and_labels_that_do_not_touch(
    width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faults(timeline(width, points(24), "balanced_accuracy"), monkeypatch) == []


@pytest.mark.parametrize("width", [NARROW_IN, WIDE_IN], ids=["narrow", "wide"])
def test_scores_by_class_have_a_legend_units_and_labels_that_do_not_touch(
    width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("red blood cell", "white blood cell (neutrophil, segmented)", "$5", "a" * 60)
    slices = [Slice(name, 20, 0.5, 0.75, 3, 1, 0.5) for name in names]
    assert faults(intervals(width, slices), monkeypatch) == []


def test_one_version_and_scores_that_are_no_accuracy_are_drawn() -> None:
    assert png(timeline(NARROW_IN, points(1), "accuracy"))
    assert png(intervals(NARROW_IN, [Slice("a", 20, 0.5, 0.75, 3, 1, 0.5, score="iou")]))
