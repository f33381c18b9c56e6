from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.run.plots import confusion, curves
from tests.figures import faults, saved

ODD = ["plain", "$5 or $10", 'a "quoted"\nname', "ガラス", "x" * 60, "100%_\\frac{1}"]


def _records(epochs: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "stage": "head" if epoch == 1 else "head + 2",
            "best": epoch in (1, 3),
            "train/loss": 2.0 * math.exp(-epoch / 4) + 0.2,
            "val/log_loss": 1.8 * math.exp(-epoch / 4) + 0.4,
            "val/accuracy": 1 - 0.6 * math.exp(-epoch / 3),
            "val/balanced_accuracy": 0.97 - 0.6 * math.exp(-epoch / 3),
            "val/macro_f1": 0.95 - 0.6 * math.exp(-epoch / 3),
            "lr/head": 1e-3 * (1 - 0.08 * epoch),
            **({} if epoch == 1 else {"lr/blocks.6": 1e-4 * (1 - 0.08 * epoch), "lr/blocks.5": 6e-5}),
        }
        for epoch in range(1, epochs + 1)
    ]


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


@pytest.mark.parametrize("epochs", [0, pytest.param(1, marks=pytest.mark.thorough), 12])
def test_curves_are_drawn_for_any_number_of_epochs(epochs: int, tmp_path: Path) -> None:
    curves(_records(epochs), tmp_path / "curves.png")
    assert _opened(tmp_path / "curves.png").height > 600


def test_curves_leave_out_what_the_records_lack(tmp_path: Path) -> None:
    curves([{"epoch": 1, "train/loss": 1.0}, {"epoch": 2, "train/loss": 0.5, "val/accuracy": None}], tmp_path / "c.png")
    assert _opened(tmp_path / "c.png").height > 600


@pytest.mark.parametrize(
    "classes", [1, 6, *(pytest.param(count, marks=pytest.mark.thorough) for count in (2, 50)), 200]
)
def test_a_confusion_matrix_is_drawn_for_any_number_of_classes(classes: int, tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).integers(0, 4, (classes, classes)) + 20 * np.eye(classes, dtype=np.int64)
    confusion(matrix, [f"class number {each}" for each in range(classes)], tmp_path / "confusion.png")
    assert max(_opened(tmp_path / "confusion.png").size) < 1800


def test_odd_class_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    confusion(np.eye(6, dtype=np.int64), ODD, tmp_path / "confusion.png")
    assert _opened(tmp_path / "confusion.png").width > 400


def test_a_class_without_images_is_an_empty_row(tmp_path: Path) -> None:
    confusion(np.array([[3, 1], [0, 0]]), ["a", "b"], tmp_path / "confusion.png")
    assert _opened(tmp_path / "confusion.png").width > 300


def test_charts_of_a_run_have_units_legends_and_labels_that_do_not_touch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = saved(monkeypatch)
    curves(_records(12), tmp_path / "curves.png")
    matrix = np.full((12, 12), 7) + 1400 * np.eye(12, dtype=np.int64)
    confusion(matrix, [f"class number {each}" for each in range(12)], tmp_path / "confusion.png")
    confusion(matrix[:3, :3], ["a", "b", "background"], tmp_path / "small.png")
    assert [faults(figure, monkeypatch) for figure in figures] == [[], [], []]
