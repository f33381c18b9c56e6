from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.metrics.segmentation import VOID, ClassMap
from raytl.tasks.answers import Answers
from raytl.tasks.colors import class_color
from raytl.tasks.segmentation.export import FORMATS

WRITE = {each.name: each.write for each in FORMATS}
CLASSES = ("background", 'a "road"\n', "=car")


def photo(path: str) -> Image.Image | None:
    return None if path.endswith("gone.jpg") else Image.new("RGB", (40, 30), (90, 90, 90))


def answers(*paths: str) -> Answers[ClassMap]:
    each = np.zeros((30, 40), np.uint8)
    each[:10], each[10:15], each[20, 20] = 1, VOID, 2
    return Answers(paths, ((40, 30),) * len(paths), (each,) * len(paths), CLASSES)


def test_masks_hold_the_classes_and_show_their_colors(tmp_path: Path) -> None:
    whole = answers("/d/a/1.jpg", "/d/b/1.jpg")
    WRITE["masks"](whole, tmp_path / "out", photo)
    for name in ("a/1.png", "b/1.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.mode == "P"
            assert np.array_equal(np.asarray(picture), whole.answers[0])
            assert picture.convert("RGB").getpixel((20, 20)) == class_color(2)


def test_a_table_names_the_values_and_colors(tmp_path: Path) -> None:
    WRITE["masks"](answers("/d/1.jpg"), tmp_path / "out", photo)
    with (tmp_path / "out/classes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["value"], row["name"]) for row in rows] == [
        ("0", "background"), ("1", CLASSES[1]), ("2", "'=car"), ("255", "void"),
    ]  # fmt: skip
    assert tuple(int(rows[1][color]) for color in ("red", "green", "blue")) == class_color(1)


def test_the_table_has_the_fraction_of_each_class(tmp_path: Path) -> None:
    WRITE["csv"](answers("/d/1.jpg"), tmp_path / "p.csv", photo)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    assert header == ["path", "p_background", 'p_a "road"\n', "p_=car"]
    assert row == ["/d/1.jpg", "0.499167", "0.333333", "0.000833333"]


def test_overlays_are_pictures_of_the_photos_that_can_be_read(tmp_path: Path) -> None:
    WRITE["overlays"](answers("/d/1.jpg", "/d/gone.jpg"), tmp_path / "out", photo)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.png"]


@pytest.mark.parametrize("name", WRITE)
def test_no_photos_are_written_too(name: str, tmp_path: Path) -> None:
    WRITE[name](answers(), tmp_path / f"out.{name}", photo)
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{name}"]
