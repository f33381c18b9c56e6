"""Objects are turned upright, clipped and checked by stated rules, and every rule says what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.config.annotations import AnnotationsConfig
from raytl.data.annotations import rle
from raytl.data.decode import decode
from raytl.data.formats import scan
from raytl.data.manifest import Manifest, Note
from raytl.data.targets import Box, Boxes, Instances
from raytl.errors import DataError
from tests.data.annotations import writers
from tests.data.annotations.writers import Object

SIZE = (40, 24)
RED = Object("red", 4, 2, 15, 9)


def _coco(root: Path, boxes: list[list[float]], size: tuple[int, int] = SIZE, **extra: object) -> None:
    entries = [{"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}]
    objects = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "iscrowd": 0} | extra for i, box in enumerate(boxes)
    ]
    document = {"images": entries, "annotations": objects, "categories": [{"id": 1, "name": "red"}]}
    writers.write(root / "train.json", document)


def _read(root: Path, **options: object) -> Manifest:
    return scan(str(root), annotations=AnnotationsConfig.model_validate(options))


def _photo(path: Path, orientation: int) -> None:
    """A photo whose stored pixels have a red rectangle, to be rotated by EXIF."""
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    pixels[RED.y_min : RED.y_max, RED.x_min : RED.x_max] = (255, 0, 0)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(path, quality=100, subsampling=0, exif=exif)


def _red_box(path: Path) -> tuple[float, float, float, float]:
    """The box of the red pixels of the upright photo."""
    red = np.asarray(decode(path, 10**6))[..., 0] > 128
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_drawn_before_rotation_turn_with_the_pixels(tmp_path: Path, orientation: int) -> None:
    _photo(tmp_path / "a.jpg", orientation)
    _coco(tmp_path, [[4, 2, 11, 7]])
    target = _read(tmp_path).samples[0].target
    assert isinstance(target, Boxes)
    assert (target.width, target.height) == SIZE[::-1]
    assert target.boxes[0].corners == _red_box(tmp_path / "a.jpg")


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["polygon", "runs"])
def test_outlines_drawn_before_rotation_turn_with_the_pixels(tmp_path: Path, orientation: int, kind: str) -> None:
    _photo(tmp_path / "a.jpg", orientation)
    counts = {"size": [24, 40], "counts": rle.from_polygons([RED.polygon], *SIZE)}
    _coco(tmp_path, [[4, 2, 11, 7]], segmentation=[RED.polygon] if kind == "polygon" else counts)
    target = _read(tmp_path).samples[0].target
    assert isinstance(target, Instances)
    box = rle.box(target.instances[0].counts, target.width, target.height)
    assert box == _red_box(tmp_path / "a.jpg")


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_boxes_drawn_on_the_upright_image_stay(tmp_path: Path, orientation: int) -> None:
    _photo(tmp_path / "a.jpg", orientation)
    upright = SIZE[::-1] if orientation == 6 else SIZE
    _coco(tmp_path, [[4, 2, 11, 7]], upright)
    assert _read(tmp_path).samples[0].target == Boxes(*upright, (Box("red", 4.0, 2.0, 15.0, 9.0),))


def test_another_size_than_the_image_has_is_an_error(tmp_path: Path) -> None:
    _photo(tmp_path / "a.jpg", 1)
    _coco(tmp_path, [[4, 2, 11, 7]], (80, 48))
    with pytest.raises(DataError, match=r"image id 1: 80 x 48, but 'a\.jpg' has 40 x 24 pixels"):
        _read(tmp_path)


def test_a_box_that_sticks_out_is_clipped_and_counted(tmp_path: Path) -> None:
    _photo(tmp_path / "a.jpg", 1)
    _coco(tmp_path, [[-3, -1, 10, 10], [30, 20, 20, 20]])
    manifest = _read(tmp_path)
    assert manifest.samples[0].target == Boxes(
        *SIZE, (Box("red", 0.0, 0.0, 7.0, 9.0), Box("red", 30.0, 20.0, 40.0, 24.0))
    )
    first = "train.json: annotation id 0: -3, -1, 7, 9 in 40 x 24 pixels"
    second = "train.json: annotation id 1: 30, 20, 50, 40 in 40 x 24 pixels"
    assert manifest.notes == (Note("clipped", "they stuck out of their image", 2, (first, second)),)
    assert any(line.startswith("2 objects clipped: they stuck out of their image") for line in manifest.warnings)


BAD = [[50, 2, 5, 5], [4, 2, 0, 7], [4, 2, 3, -1], [-9, 2, 5, 5]]


def test_boxes_outside_and_without_area_are_one_error(tmp_path: Path) -> None:
    _photo(tmp_path / "a.jpg", 1)
    _coco(tmp_path, [*BAD, [4, 2, 11, 7]])
    with pytest.raises(DataError, match="the annotations cannot be used") as error:
        _read(tmp_path)
    text = str(error.value)
    assert "2 objects outside their image:\n  train.json: annotation id 0: 50, 2, 55, 7" in text
    assert "2 objects without area:\n  train.json: annotation id 1: 4, 2, 4, 9" in text
    assert "annotations.on_bad_box: drop" in text


def test_bad_boxes_are_dropped_on_demand_and_counted(tmp_path: Path) -> None:
    _photo(tmp_path / "a.jpg", 1)
    _coco(tmp_path, [*BAD, [4, 2, 11, 7]])
    manifest = _read(tmp_path, on_bad_box="drop")
    assert manifest.samples[0].target == Boxes(*SIZE, (Box("red", 4.0, 2.0, 15.0, 9.0),))
    assert [(note.action, note.reason, note.count) for note in manifest.notes] == [
        ("dropped", "objects outside their image", 2),
        ("dropped", "objects without area", 2),
    ]


def test_a_repeated_object_counts_once(tmp_path: Path) -> None:
    _photo(tmp_path / "a.jpg", 1)
    _coco(tmp_path, [[4, 2, 11, 7], [4, 2, 11, 7]])
    manifest = _read(tmp_path)
    assert manifest.samples[0].target == Boxes(*SIZE, (Box("red", 4.0, 2.0, 15.0, 9.0),))
    assert [(note.action, note.count) for note in manifest.notes] == [("dropped", 1)]


@pytest.mark.parametrize(
    ("polygon", "fault"),
    [
        ([0, 0, 10, 10], "polygons that are broken"),
        ([0, 0, 1e6, 0, 10, 10], "polygons that are broken"),
        ([50, 2, 60, 2, 60, 9], "outside their image"),
        ([5, 5, 5, 5, 5, 5], "without area"),
        ([0, 0, 40, 24] * 1000, "polygons that are broken"),
    ],
)
def test_a_polygon_that_cannot_be_filled_is_a_bad_object(tmp_path: Path, polygon: list[float], fault: str) -> None:
    _photo(tmp_path / "a.jpg", 1)
    _coco(tmp_path, [[4, 2, 11, 7]], segmentation=[polygon])
    with pytest.raises(DataError, match=fault):
        _read(tmp_path)
    assert _read(tmp_path, on_bad_box="drop").samples[0].target == Instances(*SIZE, ())


def test_objects_with_and_without_outlines_are_read_as_boxes_and_said(tmp_path: Path) -> None:
    writers.coco(tmp_path, lambda each: [each.polygon] if each.label == "cat" else [])
    manifest = _read(tmp_path)
    assert all(isinstance(sample.target, Boxes) for sample in manifest.samples)
    assert "2 of 4 objects have a box and no outline, so all are read as boxes" in manifest.warnings


def test_an_unreadable_image_is_left_to_the_audit(tmp_path: Path) -> None:
    writers.write(tmp_path / "a.jpg", b"no image")
    _coco(tmp_path, [[4, 2, 11, 7]])
    assert _read(tmp_path).samples[0].target == Boxes(1, 1, ())
