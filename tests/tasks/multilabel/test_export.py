from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from raytl.tasks.answers import Answers, open_photo
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.export import FORMATS, columns

WRITE = {each.name: each.write for each in FORMATS}
CLASSES = ("red", 'long, "hair"', "=x")


def answers(count: int) -> Answers[LabelsAnswer]:
    table = np.array([[0.9, 0.25, 0.75], [0.1, 0.2, 0.3]], np.float32)[:count]
    half = np.full(3, 0.5, np.float32)
    each = tuple(LabelsAnswer(np.log(row / (1 - row)), half) for row in table)
    return Answers(("/d/1.jpg", "/d/=2.jpg")[:count], ((4, 3),) * count, each, CLASSES)


def test_csv_has_the_labels_and_a_column_for_each(tmp_path: Path) -> None:
    WRITE["csv"](answers(2), tmp_path / "p.csv", open_photo)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["path", "predicted", "p_red", 'p_long, "hair"', "p_=x"],
        ["/d/1.jpg", "red|=x", "0.9", "0.25", "0.75"],
        ["/d/=2.jpg", "", "0.1", "0.2", "0.3"],
    ]


def test_parquet_has_the_cells_of_the_table(tmp_path: Path) -> None:
    for count in (0, 2):
        WRITE["parquet"](answers(count), tmp_path / "p.parquet", open_photo)
        assert pq.read_table(tmp_path / "p.parquet").to_pydict() == columns(answers(count))
