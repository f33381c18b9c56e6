from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from raytl.tasks.answers import Answers
from raytl.tasks.detection.answer import Detections
from raytl.tasks.detection.export import FORMATS, coco, columns
from tests.tasks.detection.answers import CLASSES, PATHS, answers, no_answers

WRITE = {each.name: each.write for each in FORMATS}


def photo(path: str) -> Image.Image | None:
    return None if path.endswith("b/1.jpg") else Image.new("RGB", (640, 480), (90, 90, 90))


def test_coco_is_the_same_document_as_before() -> None:
    assert coco(answers())["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [9.0, 9.0, 1.0, 1.0], "area": 1.0, "iscrowd": 0, "score": 0.75},
        {"id": 2, "image_id": 1, "category_id": 3, "bbox": [0.0, 10.13, 50.5, 469.87], "area": 23728.44, "iscrowd": 0, "score": 0.25},
        {"id": 3, "image_id": 3, "category_id": 2, "bbox": [10.0, 20.0, 20.0, 40.0], "area": 800.0, "iscrowd": 0, "score": 0.5},
    ]  # fmt: skip


def test_pycocotools_reads_the_document_and_its_annotations_as_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    WRITE["coco"](answers(), tmp_path / "p.json", photo)
    truth = COCO(str(tmp_path / "p.json"))
    results = truth.loadRes(json.loads((tmp_path / "p.json").read_text())["annotations"])
    assert [image["file_name"] for image in truth.loadImgs(truth.getImgIds())] == [
        "a/1.jpg",
        "b/1.jpg",
        'b/quo"te,\n.jpg',
    ]
    assert [category["name"] for category in truth.loadCats(truth.getCatIds())] == list(CLASSES)
    assert [each["bbox"] for each in results.loadAnns(results.getAnnIds(imgIds=[3]))] == [[10.0, 20.0, 20.0, 40.0]]


def test_csv_round_trips_names_boxes_and_photos_without_objects(tmp_path: Path) -> None:
    WRITE["csv"](answers(), tmp_path / "p.csv", photo)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["path", "xmin", "ymin", "xmax", "ymax", "label", "score"],
        [PATHS[0], "9", "9", "10", "10", CLASSES[0], "0.75"],
        [PATHS[0], "0", "10.13", "50.5", "480", "'=cat", "0.25"],
        [PATHS[1], "", "", "", "", "", ""],
        [PATHS[2], "10", "20", "30", "60", CLASSES[1], "0.5"],
    ]


def test_parquet_has_the_cells_of_the_table(tmp_path: Path) -> None:
    WRITE["parquet"](answers(), tmp_path / "p.parquet", photo)
    assert pq.read_table(tmp_path / "p.parquet").to_pydict() == columns(answers())


def test_yolo_round_trips_boxes_and_names(tmp_path: Path) -> None:
    WRITE["yolo"](answers(), tmp_path / "out", photo)
    labels = tmp_path / "out" / "labels"
    files = sorted(str(path.relative_to(labels)) for path in labels.rglob("*.txt"))
    assert files == ["a/1.txt", "b/1.txt", 'b/quo"te,\n.txt']
    assert (labels / "b/1.txt").read_text() == ""
    rows = np.loadtxt(labels / "a/1.txt", ndmin=2)
    assert rows[:, 0].tolist() == [0, 2]
    center, side = rows[:, 1:3] * (640, 480), rows[:, 3:5] * (640, 480)
    corners = np.concatenate([center - side / 2, center + side / 2], axis=1)
    assert corners == pytest.approx(np.array([[9, 9, 10, 10], [0, 10.126, 50.5, 480]]), abs=0.01)
    assert list(yaml.safe_load((tmp_path / "out/data.yaml").read_text())["names"].values()) == list(CLASSES)


def test_overlays_are_pictures_of_the_photos_that_can_be_read(tmp_path: Path) -> None:
    WRITE["overlays"](answers(), tmp_path / "out", photo)
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")) == [
        "a/1.png",
        'b/quo"te,\n.png',
    ]
    with Image.open(tmp_path / "out/a/1.png") as picture:
        assert picture.size == (640, 480 + 30), "the photo above the names of the colors"
        assert len(picture.getcolors(99999) or ()) > 1


@pytest.mark.parametrize("name", WRITE)
def test_no_photos_are_written_too(name: str, tmp_path: Path) -> None:
    WRITE[name](no_answers(), tmp_path / f"out.{name}", photo)
    assert (tmp_path / f"out.{name}").exists()
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{name}"]


@pytest.mark.parametrize("name", ["yolo", "overlays"])
def test_a_folder_is_whole_or_absent(name: str, tmp_path: Path) -> None:
    whole = answers()
    broken = Answers[Detections](whole.paths, whole.sizes, whole.answers[:2], whole.classes)
    with pytest.raises(ValueError, match="shorter"):
        WRITE[name](broken, tmp_path / "out", photo)
    assert not list(tmp_path.iterdir())
