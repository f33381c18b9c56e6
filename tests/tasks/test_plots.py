from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.metrics.intervals import Interval
from raytl.tasks.detection import plots as detection
from raytl.tasks.multilabel import plots as multilabel
from raytl.tasks.plots import Curve, class_bars, curve_of
from raytl.tasks.segmentation import plots as segmentation
from tests.figures import faults, saved

UNDEFINED = Interval(math.nan, math.nan, math.nan)


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def curve(name: str = "$5 \\frac\n", count: int = 30) -> Curve:
    rng = np.random.default_rng(count)
    return curve_of(name, rng.uniform(size=count), rng.uniform(size=count) < 0.7, max(count, 1))


def test_a_curve_has_a_point_for_each_score() -> None:
    drawn = curve_of("a", np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]), 4)
    assert drawn.recall.tolist() == [0.25, 0.5, 0.5]
    assert drawn.precision.tolist() == [1.0, 2 / 3, 0.5]
    assert drawn.average == pytest.approx((26 * 1.0 + 25 * 2 / 3) / 101)


@pytest.mark.parametrize(("calls", "positives"), [(0, 3), (3, 0), (0, 0)])
def test_without_calls_or_truths_the_curve_is_empty(calls: int, positives: int) -> None:
    assert not len(curve_of("a", np.ones(calls), np.zeros(calls, bool), positives).recall)


@pytest.mark.parametrize("count", [0, 3, pytest.param(30, marks=pytest.mark.thorough)])
def test_curves_are_drawn_for_any_number_of_classes(count: int, tmp_path: Path) -> None:
    curves = [curve(f"{i}$", 5 + i) for i in range(count)]
    detection.precision_recall({0.5: curves, 0.75: [*curves, curve("none", 0)]}, tmp_path / "c.png")
    assert opened(tmp_path / "c.png").height > 800


def test_no_panels_are_drawn_as_an_empty_chart(tmp_path: Path) -> None:
    detection.precision_recall({}, tmp_path / "c.png")
    assert opened(tmp_path / "c.png").width > 300


@pytest.mark.parametrize("count", [0, 5, pytest.param(41, marks=pytest.mark.thorough)])
def test_bars_are_drawn_for_any_number_of_classes(count: int, tmp_path: Path) -> None:
    intervals = [UNDEFINED if i % 4 == 3 else Interval(i / 100, i / 120, min(1.0, i / 80)) for i in range(count)]
    class_bars(
        [f"$ {i}\n" for i in range(count)],
        intervals,
        tmp_path / "b.png",
        "IoU",
        UNDEFINED if count < 2 else Interval(0.5, 0.4, 0.6),
    )
    assert opened(tmp_path / "b.png").height < 1800


@pytest.mark.parametrize("count", [0, 100])
def test_scores_of_any_number_of_detections_are_drawn(count: int, tmp_path: Path) -> None:
    scores = np.linspace(0, 1, count)
    detection.score_histogram(scores, scores > 0.4, tmp_path / "h.png")
    assert opened(tmp_path / "h.png").width > 400


def test_confusions_of_objects_and_of_pixels_are_drawn(tmp_path: Path) -> None:
    counts = np.array([[5, 0, 1], [0, 0, 0], [2, 1, 0]])
    detection.confusion(counts, ("a", "$b", detection.BACKGROUND), tmp_path / "objects.png")
    segmentation.confusion(counts * 10**6, ("a", "b", "c"), tmp_path / "pixels.png")
    assert opened(tmp_path / "objects.png").size == opened(tmp_path / "pixels.png").size


def test_labels_are_drawn_with_their_thresholds(tmp_path: Path) -> None:
    each = curve()
    multilabel.precision_recall([Curve(each.name, each.recall, each.precision, 0.5, (0.4, 0.8))], tmp_path / "l.png")
    multilabel.average_precision(["a"], [Interval(0.4, 0.3, 0.5)], tmp_path / "a.png")
    assert opened(tmp_path / "l.png").width > 300


def test_charts_of_reports_have_units_legends_and_labels_that_do_not_touch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = saved(monkeypatch)
    detection.precision_recall(
        {0.5: [curve(f"class number {i}", 9 + i) for i in range(8)], 0.75: []}, tmp_path / "p.png"
    )
    detection.score_histogram(np.linspace(0, 1, 4000), np.arange(4000) > 3000, tmp_path / "h.png")
    intervals = [Interval(value, value - 0.08, min(1.0, value + 0.06)) for value in np.linspace(0.3, 0.99, 9)]
    names = [f"class number {i}" for i in range(9)]
    multilabel.average_precision(names, intervals, tmp_path / "a.png", Interval(0.7, 0.6, 0.75))
    assert [faults(figure, monkeypatch) for figure in figures] == [[], [], []]
