from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask
from pycocotools.coco import COCO

from raytl.tasks.answers import Answers
from raytl.tasks.instances.answer import Segments
from raytl.tasks.instances.export import FORMATS
from tests.tasks.instances.answers import CLASSES, PATHS, answers, bitmaps

WRITE = {each.name: each.write for each in FORMATS}


def photo(path: str) -> Image.Image | None:
    return Image.new("RGB", (40, 30), (90, 90, 90))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with numpy 2
def test_pycocotools_reads_the_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    WRITE["coco"](answers(), tmp_path / "p.json", photo)
    read = COCO(str(tmp_path / "p.json"))
    objects = read.loadAnns(read.getAnnIds(imgIds=[1]))
    assert [each["score"] for each in objects] == [0.75, 0.5, 0.25]
    assert np.array_equal([read.annToMask(each) for each in objects], bitmaps()[[1, 0, 2]])
    results = read.loadRes(json.loads((tmp_path / "p.json").read_text())["annotations"])
    assert [each["segmentation"] for each in results.loadAnns(results.getAnnIds())] == [
        each["segmentation"] for each in objects
    ]
    assert [each["area"] for each in objects] == [1, 100, 19]


def test_the_boxes_of_the_document_are_those_of_the_masks(tmp_path: Path) -> None:
    WRITE["coco"](answers(), tmp_path / "p.json", photo)
    for each in json.loads((tmp_path / "p.json").read_text())["annotations"]:
        assert each["bbox"] == mask.toBbox(each["segmentation"]).tolist()


def test_the_numbers_of_a_mask_name_the_instances_and_the_best_is_on_top(tmp_path: Path) -> None:
    WRITE["masks"](answers(), tmp_path / "out", photo)
    with Image.open(tmp_path / "out/a/1.png") as picture:
        numbers = np.asarray(picture)
    square, pixel, corner = bitmaps()
    assert np.array_equal(numbers == 1, pixel)
    assert np.array_equal(numbers == 2, square & ~pixel)
    assert np.array_equal(numbers == 3, corner)
    with Image.open(tmp_path / "out/b/1.png") as picture:
        assert not np.asarray(picture).any()
    with (tmp_path / "out/instances.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"path": PATHS[0], "mask": "a/1.png", "number": "1", "label": "'=cat", "score": "0.75"}
    assert [row["label"] for row in rows] == ["'=cat", CLASSES[0], "'=cat"]


def test_more_than_255_instances_have_their_own_numbers(tmp_path: Path) -> None:
    pixels = np.eye(400, dtype=np.uint8).reshape(400, 20, 20)
    counts = tuple(mask.encode(np.asfortranarray(each))["counts"].decode() for each in pixels)
    many = Segments(
        np.zeros((400, 4), np.float32),
        np.linspace(1, 0, 400).astype(np.float32),
        np.zeros(400, np.int64),
        counts,
        (20, 20),
    )
    WRITE["masks"](Answers(("/a.jpg",), ((20, 20),), (many,), CLASSES), tmp_path / "out", photo)
    with Image.open(tmp_path / "out/a.png") as picture:
        assert np.array_equal(np.asarray(picture), np.arange(1, 401).reshape(20, 20))


def test_the_table_has_the_area_of_each_mask(tmp_path: Path) -> None:
    WRITE["csv"](answers(), tmp_path / "p.csv", photo)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["area"] for row in rows] == ["1", "100", "19", ""]


@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("count", [0, 2])
def test_every_format_is_written_with_and_without_photos(name: str, count: int, tmp_path: Path) -> None:
    each = answers()
    some = Answers(each.paths[:count], each.sizes[:count], each.answers[:count], each.classes)
    WRITE[name](some, tmp_path / f"out.{name}", photo)
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{name}"]
