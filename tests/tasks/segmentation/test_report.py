from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raytl.metrics.segmentation import VOID
from raytl.tasks.reporting import Evaluated
from raytl.tasks.segmentation.report import KIND, report
from raytl.tasks.segmentation.scores import evidence
from raytl.tasks.segmentation.thumbnail import packed, unpacked
from tests.tasks.reports import occasion, photo, read_back, samples


def evaluated() -> Evaluated:
    """Three images that are half road: right; a tenth of the pixels wrong; all road, half void and the rest right."""
    truth = np.zeros((30, 40), np.uint8)
    truth[15:] = 1
    wrong, void = truth.copy(), truth.copy()
    wrong[15:18] = 0
    void[:15] = VOID
    targets = [truth, truth, void]
    answers = [truth, wrong, np.ones_like(truth)]
    return Evaluated(samples([None] * 3), targets, evidence(answers, targets), ("sky", "road"), 2)


def test_pixels_are_scored_and_void_ones_are_no_mistake(tmp_path: Path) -> None:
    scored = report(occasion(tmp_path), evaluated())
    assert scored.by_class.support == (1200, 1800)
    assert scored.by_class.ranked_by == "iou"
    (worst,) = scored.worst
    assert (worst.key, worst.note) == ("1.jpg", "10 % of pixels, lowest road")
    assert worst.score == pytest.approx((600 / 720 + 480 / 600) / 2)
    assert "| road | sky | 120 | 7 % |" in scored.to_markdown()
    assert read_back(KIND, scored, tmp_path).to_json() == scored.to_json()


def test_all_pictures_are_drawn(tmp_path: Path) -> None:
    images = evaluated()
    scored = report(occasion(tmp_path), images)
    scored.draw(tmp_path / "out", images, photo)
    assert (
        {path.name for path in (tmp_path / "out").iterdir()}
        == set(scored.pictures)
        == {"confusion.png", "iou.png", "worst.png"}
    )


@pytest.mark.parametrize(("shape", "small"), [((3, 5), (3, 5)), ((512, 1024), (128, 256))])
def test_small_class_maps_survive_as_bytes_of_an_array(shape: tuple[int, int], small: tuple[int, int]) -> None:
    classes = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8) * VOID
    array = np.array([packed(classes), b"longer" * 10_000], dtype=np.bytes_)
    assert unpacked(array[0]).shape == small
    assert set(np.unique(unpacked(array[0]))) == {0, VOID}
