from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from raytl.data.targets import Box, Boxes
from raytl.tasks.detection.findings import findings
from raytl.tasks.detection.report import KIND, curves_at, report
from raytl.tasks.detection.scores import evidence, facts
from raytl.tasks.reporting import Evaluated
from tests.tasks.detection.answers import detections
from tests.tasks.reports import occasion, photo, read_back, samples

NAMES = ("cat", "dog")
LEGEND = 30
"""The height of the row below a photo with the colors of the classes."""
CORNERS = ((0, 0, 10, 10), (20, 0, 30, 10), (0, 15, 10, 25))


def evaluated(answered: bool = True, score: float = 0.3) -> Evaluated:
    """Four images of three cats: all found; one missed and one false; one called a dog; none of none."""
    truth = Boxes(40, 30, tuple(Box("cat", *corners) for corners in CORNERS))
    targets = [truth, truth, truth, Boxes(40, 30, ())]
    none = detections([], [], [])
    answers = [
        detections(CORNERS, [0.9, 0.8, 0.7], [0, 0, 0]),
        detections([*CORNERS[:2], (20, 15, 35, 29)], [0.9, 0.8, 0.7], [0, 0, 1]),
        detections(CORNERS, [0.9, 0.8, 0.7], [0, 0, 1]),
        none,
    ]
    given = [replace(each, predict_score=score) for each in (answers if answered else [none] * 4)]
    return Evaluated(samples(targets), targets, evidence(given, targets), NAMES, 2)


def test_the_worst_images_are_those_with_mistakes_and_their_notes_count_them(tmp_path: Path) -> None:
    worst = report(occasion(tmp_path), evaluated()).worst
    assert [(each.key, each.note) for each in worst] == [
        ("1.jpg", "1 missed, 1 false"),
        ("2.jpg", "1 of a wrong class"),
    ]
    assert [each.score for each in worst] == pytest.approx([2 / 3, 2 / 3])


def test_scores_have_intervals_sizes_and_classes(tmp_path: Path) -> None:
    scored = report(occasion(tmp_path), evaluated())
    assert list(scored.overall)[:3] == ["map", "map_50", "map_75"]
    assert scored.overall["map_small"].value == pytest.approx(scored.overall["map"].value)
    assert scored.by_class.support == (9, 0)
    assert scored.confusion.counts.tolist() == [[7, 1, 1], [0, 0, 0], [0, 1, 0]]
    page = scored.to_markdown()
    assert "| cat | 9 |" in page
    assert "| dog | 0 | – | – | – |" in page


def test_the_report_reads_back(tmp_path: Path) -> None:
    scored = report(occasion(tmp_path), evaluated(score=0.75))
    again = read_back(KIND, scored, tmp_path)
    assert again.to_json() == scored.to_json()
    assert "a score of at least 0.75 and" in again.to_markdown()


def test_what_the_model_does_not_report_is_missed_but_counts_for_the_average_precision(tmp_path: Path) -> None:
    low, high = (report(occasion(tmp_path), evaluated(score=score)) for score in (0.3, 0.75))
    assert high.metrics == pytest.approx(low.metrics, nan_ok=True)
    assert high.confusion.counts.tolist() == [[6, 0, 3], [0, 0, 0], [0, 0, 0]]
    assert [each.note for each in high.worst] == ["1 missed"] * 3
    assert findings(evaluated(score=0.75).truths, evaluated(score=0.75).rows, NAMES).thresholds.tolist() == [0.75] * 2


def test_all_pictures_are_drawn_except_those_of_photos_that_are_gone(tmp_path: Path) -> None:
    images = evaluated()
    scored = report(occasion(tmp_path), images)
    scored.draw(tmp_path / "out", images, photo)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(scored.pictures)
    with Image.open(tmp_path / "out/worst.png") as picture:
        assert picture.width > 900
        assert picture.height == 44 + 345 + LEGEND + 36 + 22, "title, photo, legend, heading and name, margin"


@pytest.mark.thorough
def test_without_photos_and_detections_there_are_only_charts(tmp_path: Path) -> None:
    images = evaluated(answered=False)
    report(occasion(tmp_path), images).draw(tmp_path, images, lambda path: None)
    assert not (tmp_path / "worst.png").exists()
    assert (tmp_path / "confusion.png").exists()


def test_the_average_of_a_curve_is_the_average_precision(tmp_path: Path) -> None:
    images = evaluated()
    matched = facts(images.truths, images.rows, NAMES)
    precision = report(occasion(tmp_path), images).by_class.columns["ap_50"]
    assert curves_at(matched, 0, NAMES)[0].average == pytest.approx(precision[0].value)
    assert math.isnan(curves_at(matched, 0, NAMES)[1].average)
