"""The table of defaults: ranks among equals, noise, and every contest that raytl does not win."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.defaults.rows import FILE, Row, add, load
from experiments.defaults.table import CONTENDERS, noise, table

OWN = Row("cells", 5, 0, "mobilenetv2_100", "raytl", 80.0, 4.0, 100, 90, 41.0)


def rows() -> list[Row]:
    return [
        OWN,
        replace(OWN, contender="fastai", accuracy=60.0, ece=9.0),
        replace(OWN, contender="timm", accuracy=82.0, ece=8.0),
        replace(OWN, data="signs", accuracy=90.0),
        replace(OWN, data="signs", contender="fastai", accuracy=99.0),
        replace(OWN, data="signs", contender="timm", accuracy=90.0),
        replace(OWN, data="waste"),  # alone so far, so in no mean
    ]


def test_the_table_has_means_and_ranks_of_whole_contests() -> None:
    lines = table(rows()).splitlines()
    assert "| 5 | MobileNetV2 | 85.0 (2.00, 4.0) | 79.5 (2.00, 6.5) | 86.0 (1.50, 6.0) | 2 |" in lines
    assert "| all, cells and insects | both | 80.0 (2.00, 4.0) | 60.0 (3.00, 9.0) | 82.0 (1.00, 8.0) | 1 |" in lines


def test_wins_and_losses_count_beyond_noise_only_and_each_loss_has_its_name() -> None:
    text = table(rows())
    assert noise(OWN) == 8.0
    assert "fastai: of 2, raytl wins 1 and loses 1 by more than two standard errors; ahead in 1, behind in 1" in text
    assert "timm: of 2, raytl wins 0 and loses 0 by more than two standard errors; ahead in 0, behind in 1" in text
    assert "- cells, 5 images a class, MobileNetV2, seed 0: 80.0, timm 82.0\n" in text
    assert text.endswith("- signs, 5 images a class, MobileNetV2, seed 0: 90.0, fastai 99.0 (beyond noise)")


def test_rows_return_from_their_file(tmp_path: Path) -> None:
    for row in rows():
        add(row, tmp_path / "rows.jsonl")
    assert load(tmp_path / "rows.jsonl") == rows()
    assert load(tmp_path / "none.jsonl") == []


def test_the_rows_of_the_repository_are_one_a_run() -> None:
    runs = [(*row.contest, row.contender) for row in load(FILE)]
    assert len(runs) == len(set(runs))
    assert {name for *_, name in runs} <= {*CONTENDERS, "autogluon"}
