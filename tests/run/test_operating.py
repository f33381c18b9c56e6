from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.errors import RunError
from raytl.metrics.aim import Aim
from raytl.metrics.certified import ANSWER_GRID, RECALL_GRID, certified_accuracy, certified_recall
from raytl.run.operating import (
    OPERATING,
    REFERENCE,
    REPORT_FOLDER,
    Familiarity,
    Features,
    OperatingPoints,
    SetLevel,
    Tally,
    Tried,
    encoded_reference,
    read_operating,
    read_reference,
    write_operating,
)


def operating_points(weights: str = "w", classes: tuple[str, ...] = ("a", "b"), **changes: Any) -> OperatingPoints:
    """Points of 400 answers a split, all right from one half on, and of classes whose images all reach 0.88 at least."""
    answers = Tally((300,) * 10, (400, *(300,) * 9))
    recall = Tally((0,) * 6 + (100,) * 11, (100,) * 17)
    points = OperatingPoints(
        format=1,
        weights=weights,
        temperature=None,
        classes=classes,
        look=1,
        answer_grid=tuple(ANSWER_GRID.tolist()),
        answers=Tried(answers, answers),
        recall_grid=tuple(RECALL_GRID.tolist()),
        recalls=(Tried(recall, recall),) * len(classes),
        sets=(SetLevel(0.9, 0.5), SetLevel(0.95, None)),
        unfamiliar=None,
        aims=(Aim(0.95), Aim(0.9, classes[0])),
    )
    return replace(points, **changes)


def with_reference(points: OperatingPoints, features: Features, distance: float) -> tuple[OperatingPoints, bytes]:
    """Return the points with a limit of unfamiliar images, and its file."""
    content = encoded_reference(features)
    limit = Familiarity(1, distance, len(features), hashlib.sha256(content).hexdigest())
    return replace(points, unfamiliar=limit), content


def write(evaluation: Path, points: OperatingPoints, reference: bytes | None = None) -> Path:
    """Write the points where a report does, and return their folder."""
    folder = evaluation / REPORT_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_operating(folder, points, reference)
    return folder


def test_points_and_their_reference_are_read_as_written(tmp_path: Path) -> None:
    assert read_operating(tmp_path) is None
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float16)
    points, content = with_reference(operating_points(), features, 0.25)
    write(tmp_path, points, content)
    assert read_operating(tmp_path) == points
    assert points.unfamiliar is not None
    np.testing.assert_array_equal(read_reference(tmp_path, points.unfamiliar), features)


def test_any_aim_has_the_threshold_that_a_report_certifies_for_it() -> None:
    draw = np.random.default_rng(0)
    sure, right = draw.uniform(0.4, 1, 500), draw.random(500) < 0.97
    answered = [(sure >= t) for t in ANSWER_GRID.tolist()]
    tally = Tally(tuple(int(right[a].sum()) for a in answered), tuple(int(a.sum()) for a in answered))
    reached = tuple(int((sure >= t).sum()) for t in RECALL_GRID.tolist())
    points = operating_points(
        answers=Tried(tally, tally), recalls=(Tried(Tally(reached, (500,) * 17), Tally(reached, (500,) * 17)),) * 2
    )
    for aim in (0.5, 0.9, 0.93, 0.95, 0.999):
        assert points.promise(Aim(aim)).certificate == certified_accuracy(sure, right, aim)
        assert points.promise(Aim(aim, "b")).certificate == certified_recall(sure, aim)
    assert points.promise(Aim(0.9)).is_met and not points.promise(Aim(0.999)).is_met


def test_counts_of_groups_are_tested_as_means_of_fractions() -> None:
    tally = Tally((60,) * 10, (60,) * 10)
    points = operating_points(answers=Tried(tally, tally))
    assert points.promise(Aim(0.9)).is_met and replace(points, of_groups=True).promise(Aim(0.9)).is_met
    tight = Tally((69,) * 10, (70,) * 10)
    points = operating_points(answers=Tried(tight, tally))
    certified = [
        replace(points, of_groups=each).promise(Aim(0.89)).certificate.threshold is not None for each in (False, True)
    ]
    assert certified == [True, False], "fractions may be anything between 0 and 1, hits may not"


def test_an_aim_that_test_contradicts_or_cannot_confirm_is_not_met() -> None:
    points = operating_points()
    bad, none = Tally((200,) * 10, (400,) * 10), Tally((0,) * 10, (0,) * 10)
    assert points.promise(Aim(0.9)).is_met
    for test in (bad, none):
        assert not replace(points, answers=Tried(points.answers.validation, test)).promise(Aim(0.9)).is_met


def test_a_level_without_a_probability_has_every_class_in_its_sets() -> None:
    assert [operating_points().set_probability(level) for level in (0.9, 0.95, 0.5)] == [0.5, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"classes": ["a"]}, "counts for each class"),
        ({"answer_grid": [0.5]}, "counts for each class"),
        ({"answers": {"validation": {"hits": [2] * 10, "images": [1] * 10}}}, "answers.test: missing"),
        ({"aims": [{"value": 0.9, "recall_of": "zebra"}]}, "counts for each class"),
        ({"sets": [{"at_least": 0.9, "probability": 2}]}, "sets.0.probability"),
        ({"temperature": 1e9}, "temperature"),
        ({"aims": [{"value": 0, "recall_of": None}]}, "aims.0.value"),
        ({"aims": [{"value": 1, "recall_of": None}]}, "aims.0.value"),
        ({"format": 2}, "a newer raytl"),
        ({"unfamiliar": {"neighbors": 0, "distance": 1, "images": 1, "sha256": "0" * 64}}, "unfamiliar.neighbors"),
    ],
)
def test_points_out_of_bounds_are_an_error_with_advice(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    file = write(tmp_path, operating_points()) / OPERATING
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(RunError, match=rf"(?s){problem}.*Run `raytl report` again"):
        read_operating(tmp_path)


def test_a_reference_of_another_report_or_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    features = np.ones((4, 2), np.float16)
    points, content = with_reference(operating_points(), features, 0.25)
    file = write(tmp_path, points, content) / REFERENCE
    limit = points.unfamiliar
    assert limit is not None
    file.write_bytes(encoded_reference(features[:3]))
    with pytest.raises(RunError, match="its sha256 is not the one in operating.json"):
        read_reference(tmp_path, limit)
    for bad, problem in (
        (b"\xff" * 40, "cannot be read"),
        (encoded_reference(np.full((4, 2), np.nan, np.float16)), "not finite"),
        (encoded_reference(features[:3]), r"expected float16 \(4, d\)"),
    ):
        file.write_bytes(bad)
        with pytest.raises(RunError, match=problem):
            read_reference(tmp_path, replace(limit, sha256=hashlib.sha256(bad).hexdigest()))
    file.unlink()
    with pytest.raises(RunError, match="cannot be read"):
        read_reference(tmp_path, limit)
    os.mkfifo(file)
    with pytest.raises(RunError, match="not a regular file"):
        read_reference(tmp_path, limit)
