"""Drawn scenes: the same from the same seed, and the same truth in every format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_masks

from experiments.scenes import files
from experiments.scenes.draw import SHAPES, Scene, scene
from experiments.scenes.outline import outlines

# pycocotools 2.0.8 under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Scene]]:
    drawn = [scene(0, number) for number in range(6)]
    return {"train": drawn[:4], "val": drawn[4:]}


def test_the_same_seed_and_number_draw_the_same_scene() -> None:
    one, again, other = scene(3, 7), scene(3, 7), scene(4, 7)
    assert one.image.tobytes() == again.image.tobytes() != other.image.tobytes()
    assert [shape.outline for shape in one.shapes] == [shape.outline for shape in again.shapes]


def test_objects_do_not_overlap_and_have_one_outline_that_encloses_exactly_their_pixels() -> None:
    for number in range(12):
        drawn = scene(1, number)
        assert sum((shape.mask.astype(int) for shape in drawn.shapes), np.zeros(1)).max() <= 1
        for shape in drawn.shapes:
            polygon = [float(value) for point in shape.outline for value in point]
            height, width = shape.mask.shape
            painted = coco_masks.decode(coco_masks.frPyObjects([polygon], height, width))[..., 0]
            assert np.array_equal(painted, shape.mask)


def test_a_hole_and_pixels_that_touch_at_a_corner_have_outlines_of_their_own() -> None:
    mask = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=bool)
    assert sorted(map(sorted, outlines(mask))) == [
        [(0, 0), (0, 3), (3, 0), (3, 3)],
        [(1, 1), (1, 2), (2, 1), (2, 2)],
        [(3, 3), (3, 4), (4, 3), (4, 4)],
    ]


def test_labels_are_columns_of_1_0_and_unknown(splits: dict[str, list[Scene]], tmp_path: Path) -> None:
    files.labels_csv(splits, tmp_path, unknown=0.5)
    rows = list(csv.DictReader((tmp_path / "labels.csv").read_text().splitlines()))
    scenes = [each for part in splits.values() for each in part]
    for row, drawn in zip(rows, scenes, strict=True):
        assert _pixels(tmp_path / row["path"]).shape[:2] == drawn.image.size[::-1]
        assert all(row[name] in ("", str(int(name in drawn.labels))) for name in SHAPES)
    assert {row[name] for row in rows for name in SHAPES} == {"", "0", "1"}


def test_coco_voc_yolo_and_csv_have_the_same_boxes(splits: dict[str, list[Scene]], tmp_path: Path) -> None:
    drawn = next(each for each in splits["train"] if each.shapes)
    expected = [(shape.label, *shape.corners) for shape in drawn.shapes]
    for name in ("boxes", "coco", "voc", "yolo"):
        files.FORMATS[name](splits, tmp_path / name)
    document = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    names = {each["id"]: each["name"] for each in document["categories"]}
    image = next(each for each in document["images"] if each["file_name"] == f"train/{drawn.name}.jpg")
    found = [each for each in document["annotations"] if each["image_id"] == image["id"]]
    assert [(names[a["category_id"]], x, y, x + w, y + h) for a in found for x, y, w, h in [a["bbox"]]] == expected
    objects = ElementTree.parse(tmp_path / f"voc/Annotations/{drawn.name}.xml").findall("object")
    corners = [[int(o.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")] for o in objects]
    assert [
        (o.findtext("name"), a - 1, b - 1, c, d) for o, (a, b, c, d) in zip(objects, corners, strict=True)
    ] == expected
    assert _yolo_boxes(tmp_path / f"yolo/labels/train/{drawn.name}.txt", drawn) == expected
    rows = [
        row
        for row in csv.reader((tmp_path / "boxes/boxes.csv").read_text().splitlines())
        if row[0] == f"images/train/{drawn.name}.jpg"
    ]
    assert [(row[5], *map(int, row[1:5])) for row in rows] == expected


def _yolo_boxes(path: Path, drawn: Scene) -> list[tuple[object, ...]]:
    width, height = drawn.image.size
    boxes: list[tuple[object, ...]] = []
    for line in path.read_text().splitlines():
        label, x, y, w, h = line.split()
        left, right = ((float(x) + side * float(w) / 2) * width for side in (-1, 1))
        top, bottom = ((float(y) + side * float(h) / 2) * height for side in (-1, 1))
        boxes.append((SHAPES[int(label)], *map(round, (left, top, right, bottom))))
    return boxes


def test_mask_files_rle_and_labelme_polygons_cover_the_same_pixels(
    splits: dict[str, list[Scene]], tmp_path: Path
) -> None:
    for name in ("masks", "coco", "labelme"):
        files.FORMATS[name](splits, tmp_path / name)
    document = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    for image, drawn in zip(document["images"], splits["train"], strict=True):
        values = _pixels(tmp_path / f"masks/masks/train/{drawn.name}.png")
        found = [each for each in document["annotations"] if each["image_id"] == image["id"]]
        for annotation, shape in zip(found, drawn.shapes, strict=True):
            runs = coco_masks.frPyObjects(annotation["segmentation"], *values.shape)
            assert np.array_equal(coco_masks.decode(runs), shape.mask)
            assert set(values[shape.mask].tolist()) == {SHAPES.index(shape.label) + 1}
        polygons = json.loads((tmp_path / f"labelme/train/{drawn.name}.json").read_text())["shapes"]
        assert [each["label"] for each in polygons] == [shape.label for shape in drawn.shapes]
        assert (values > 0).sum() == sum(shape.mask.sum() for shape in drawn.shapes)


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)
