from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.errors import UserError
from raytl.metrics.segmentation import VOID
from raytl.tasks.detection.export import PREDICTIONS as DETECTIONS
from raytl.tasks.instances.export import PREDICTIONS as INSTANCES
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.export import PREDICTIONS as LABELS
from raytl.tasks.predictions import PredictionKind
from raytl.tasks.reporting import Reading, TaskPredictions, Unreadable
from raytl.tasks.segmentation.export import PREDICTIONS as MAPS
from tests.tasks.detection.answers import detections
from tests.tasks.instances.answers import nothing, segments

NAMES = ("cat", "dog")
READING = Reading(
    ("/d/1.jpg", "/d/2.jpg"), ((40, 30), (40, 30)), (Unreadable("/d/3.jpg", "empty"),), "w1", {"text": ("a.txt",)}
)
MAP = np.array([[0, 1, 1, VOID]], np.uint8)
HALF = np.full(2, 0.5, np.float32)
CASES: list[tuple[PredictionKind[Any], Sequence[Any], dict[str, int], list[tuple[str, ...]]]] = [
    (
        DETECTIONS,
        [detections([[0, 0, 9, 9]] * 3, [0.25, 0.75, 0.5], [1, 0, 1]), detections([], [], [])],
        {"dog": 2, "cat": 1},
        [("/d/1.jpg", "cat", "75.0 %"), ("/d/1.jpg", "dog", "50.0 %"), ("/d/1.jpg", "dog", "25.0 %"), ("/d/2.jpg", "–", "–")],
    ),
    (
        INSTANCES,
        [nothing(), segments()],
        {"dog": 2, "cat": 1},
        [("/d/1.jpg", "–", "–"), ("/d/2.jpg", "dog", "75.0 %"), ("/d/2.jpg", "cat", "50.0 %"), ("/d/2.jpg", "dog", "25.0 %")],
    ),
    (
        MAPS,
        [MAP, np.zeros_like(MAP)],
        {"cat": 2, "dog": 1},
        [("/d/1.jpg", "dog", "50.0 %"), ("/d/2.jpg", "cat", "100.0 %")],
    ),
    (
        LABELS,
        [LabelsAnswer(np.array([2, 1], np.float32), HALF), LabelsAnswer(np.array([-2, -1], np.float32), HALF)],
        {"cat": 1, "dog": 1},
        [("/d/1.jpg", "cat, dog", "73.1 %"), ("/d/2.jpg", "–", "26.9 %")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "answers", "counts", "preview"), CASES)
def test_predictions_are_counted_and_previewed(
    kind: PredictionKind[Any], answers: Sequence[Any], counts: dict[str, int], preview: list[tuple[str, ...]]
) -> None:
    table: TaskPredictions = kind.table(answers, NAMES, READING)
    assert table.counts == counts
    assert table.preview(9) == (kind.header, preview)
    assert table.preview(1)[1] == preview[:1]
    assert (table.unreadable[0].path, table.weights, table.left_out) == ("/d/3.jpg", "w1", {"text": ("a.txt",)})
    assert {row["path"] for row in table.rows} == set(READING.paths)


@pytest.mark.parametrize(("kind", "answers", "counts", "preview"), CASES)
def test_no_photos_are_no_rows(
    kind: PredictionKind[Any], answers: Sequence[Any], counts: dict[str, int], preview: list[tuple[str, ...]]
) -> None:
    table = kind.table((), NAMES, Reading((), (), (), "w1"))
    assert (table.rows, table.counts, table.preview(5)[1]) == ([], {}, [])
    assert repr(table) == f"Predictions(0 photos, {kind.unit}: none)"


def test_the_ending_or_the_name_chooses_the_format(tmp_path: Path) -> None:
    table = DETECTIONS.table(CASES[0][1], NAMES, READING)
    table.write(tmp_path / "p.json")
    table.write(tmp_path / "labels", "yolo")
    assert (tmp_path / "labels/labels/1.txt").exists()
    with pytest.raises(UserError, match="expected a new or empty folder"):
        table.write(tmp_path / "labels", "yolo")
    with pytest.raises(UserError, match=r"found the format 'voc', expected one of coco \(\.json\)"):
        DETECTIONS.check_output(tmp_path / "x", "voc")
    assert DETECTIONS.check_output(tmp_path / "x.csv") == tmp_path / "x.csv"
    assert DETECTIONS.names == ("coco", "csv", "parquet", "yolo", "overlays")


def test_the_text_is_short() -> None:
    assert repr(DETECTIONS.table(CASES[0][1], NAMES, READING)) == "Predictions(2 photos, objects: 2 dog, 1 cat)"
