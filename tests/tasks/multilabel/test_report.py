from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raytl.tasks.multilabel.report import KIND, report
from raytl.tasks.reporting import Evaluated
from tests.tasks.reports import occasion, photo, read_back, samples

NAMES = ("red", "|round|")


def evaluated() -> Evaluated:
    """Four images: right; red missed and round added; round unknown; no labels."""
    truths = [np.array(each, np.int8) for each in ([1, 0], [1, 0], [1, -1], [0, 0])]
    logits = np.array([[2, -2], [-1, 3], [2, 2], [-2, -2]], np.float32)
    return Evaluated(samples([None] * 4), truths, (logits, np.full((4, 2), 0.5, np.float32)), NAMES, 2)


def test_labels_are_scored_and_unknown_ones_are_no_mistake(tmp_path: Path) -> None:
    scored = report(occasion(tmp_path), evaluated())
    assert scored.by_class.support == (3, 0)
    red, round_ = scored.by_class.columns["precision"]
    assert (red.value, red.low, red.high) == (1, pytest.approx(0.025**0.5), 1), "two of two are right"
    assert (round_.value, round_.low, round_.high) == (0, 0, pytest.approx(0.975))
    (worst,) = scored.worst
    assert (worst.key, worst.score, worst.note) == ("1.jpg", 0.0, "missed red; added |round|")
    assert scored.confusion.counts.tolist() == [[2, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert "| missed red; added \\|round\\| |" in scored.to_markdown()
    assert read_back(KIND, scored, tmp_path).to_json() == scored.to_json()


def test_all_pictures_are_drawn(tmp_path: Path) -> None:
    images = evaluated()
    scored = report(occasion(tmp_path), images)
    scored.draw(tmp_path / "out", images, photo)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(scored.pictures)


@pytest.mark.parametrize("temperature", [None, 2.0])
def test_a_split_without_a_known_label_has_dashes_and_no_reliability(tmp_path: Path, temperature: float | None) -> None:
    known = evaluated()
    images = replace(known, truths=[np.full(2, -1, np.int8)] * 4, temperature=temperature)
    scored = report(occasion(tmp_path), images)
    scored.draw(tmp_path / "out", images, photo)
    assert np.isnan(list(scored.metrics.values())).all()
    assert scored.calibration is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(scored.pictures)
    for each in (scored, read_back(KIND, scored, tmp_path)):
        assert "reliability.png" not in f"{each.to_markdown()} {each.pictures}"


def test_a_split_in_which_no_label_is_present_is_reported(tmp_path: Path) -> None:
    images = replace(evaluated(), truths=[np.zeros(2, np.int8)] * 4, rows=(np.full((4, 2), 3.0), evaluated().rows[1]))
    scored = report(occasion(tmp_path), images)
    assert scored.overall["macro_f1"].value == 0 and 0 < scored.overall["macro_f1"].high < 1
    assert np.isnan(scored.overall["map"].value)


def test_a_calibrated_model_is_compared_with_its_answers_as_trained(tmp_path: Path) -> None:
    """Answers divided by 2 that were as sure as they are right, and their report as it is read back."""
    images = replace(evaluated(), temperature=2.0)
    scored = report(occasion(tmp_path), images)
    before = report(occasion(tmp_path), replace(evaluated(), rows=(2 * images.rows[0], images.rows[1])))
    assert scored.calibration is not None
    assert scored.calibration.uncalibrated == pytest.approx(
        {name: before.metrics[name] for name in ("log_loss", "ece")}
    )
    page = scored.to_markdown()
    assert "Calibrated with temperature 2.000, fitted on the validation split: log loss " in page
    assert "| calibration error |" in page
    assert "(reliability.png)" in page
    assert read_back(KIND, scored, tmp_path).calibration == scored.calibration
    assert "Calibrated" not in before.to_markdown()
