from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.data.bit_depth import SIXTEEN_BITS
from raytl.evaluation.evaluate import photo_opener
from raytl.metrics.intervals import bootstrap
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.classification.render import pictures
from raytl.tasks.classification.report import Report
from raytl.tasks.reporting import Subject
from raytl.tasks.stored_scores import Mistake
from tests.conftest import MakePhotos


@pytest.fixture
def evaluation(make_photos: MakePhotos) -> Report:
    photos = sorted(make_photos(per_class=1).rglob("*.jpg"))
    targets, table = np.array([0, 1, 2]), np.roll(np.eye(3), 1, axis=1)
    mistakes = tuple(Mistake(path.name, str(path), "a", "b", 1.0) for path in photos)
    return Report(
        Subject("demo", "net", "test", "e", "d", 0), ("a", "b", "c"), bootstrap(targets, table, resamples=5),
        np.roll(np.eye(3, dtype=np.int64), 1, axis=1), mistakes, 1, (), 5, "",
    )  # fmt: skip


def test_the_matrix_and_the_mistakes_are_drawn(evaluation: Report, tmp_path: Path) -> None:
    pictures(evaluation, tmp_path / "out", photo_opener(10**6, SIXTEEN_BITS, ENVIRONMENT))
    for name in ("confusion.png", "worst.png"):
        with Image.open(tmp_path / "out" / name) as image:
            image.load()


def test_photos_gone_meanwhile_are_left_out(evaluation: Report, tmp_path: Path) -> None:
    gone = tuple(replace(mistake, path="/nowhere.jpg") for mistake in evaluation.mistakes)
    photo = photo_opener(10**6, SIXTEEN_BITS, ENVIRONMENT)
    pictures(replace(evaluation, mistakes=gone), tmp_path / "out", photo)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["confusion.png"]
