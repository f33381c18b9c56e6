"""COCO documents as they lie: names of splits, subfolders, gaps; what is broken is listed with its id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytl.config.annotations import AnnotationsConfig
from raytl.data.annotations.origin import looks_one_based
from raytl.data.formats import scan
from raytl.data.manifest import Manifest
from raytl.data.targets import Boxes
from raytl.errors import DataError
from tests.data.annotations import writers


def _read(root: Path, **options: object) -> Manifest:
    return scan(str(root), annotations=AnnotationsConfig.model_validate(options))


def _document(*names: str, **more: Any) -> dict[str, Any]:
    entries = [{"id": i, "file_name": name, "width": 40, "height": 24} for i, name in enumerate(names)]
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4]}
    return {"images": entries, "annotations": [box], "categories": [{"id": 1, "name": "cat"}]} | more


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("annotations/instances_train2017.json", "train"),
        ("val.json", "val"),
        ("valid/_annotations.coco.json", "val"),
        ("test/_annotations.coco.json", "test"),
        ("annotations.json", None),
    ],
)
def test_the_split_is_in_the_name_of_the_file_or_of_its_folder(tmp_path: Path, name: str, split: str | None) -> None:
    folder = Path(name).parent if "coco" in name else Path("images")
    writers.image(tmp_path / folder / "a.jpg")
    writers.write(tmp_path / name, _document("a.jpg"))
    (sample,) = _read(tmp_path).samples
    assert (sample.key, sample.split) == (f"{folder}/a.jpg", split)


def test_equal_file_names_in_two_split_folders_are_told_apart(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        writers.image(tmp_path / split / "a.jpg")
        writers.write(tmp_path / split / "_annotations.coco.json", _document("a.jpg"))
    assert [(s.key, s.split) for s in _read(tmp_path).samples] == [("train/a.jpg", "train"), ("valid/a.jpg", "val")]


def test_equal_file_names_are_told_apart_by_the_split_of_the_document(tmp_path: Path) -> None:
    for split in ("train", "val"):
        writers.image(tmp_path / "images" / split / "a.jpg")
        writers.write(tmp_path / f"annotations/{split}.json", _document("a.jpg"))
    assert {s.key: s.split for s in _read(tmp_path).samples} == {
        "images/train/a.jpg": "train",
        "images/val/a.jpg": "val",
    }


def test_file_names_may_have_subfolders_and_the_other_documents_of_coco_are_not_read(tmp_path: Path) -> None:
    writers.image(tmp_path / "images/train2017/x/a.jpg")
    writers.write(tmp_path / "annotations/instances_train2017.json", _document("x/a.jpg"))
    writers.write(tmp_path / "annotations/captions_train2017.json", _document("x/a.jpg", annotations=[{"caption": ""}]))
    assert [sample.key for sample in _read(tmp_path).samples] == ["images/train2017/x/a.jpg"]


def test_a_crowd_is_kept_as_one(tmp_path: Path) -> None:
    writers.image(tmp_path / "a.jpg")
    document = _document("a.jpg")
    document["annotations"][0] |= {"iscrowd": 1, "segmentation": {"size": [24, 40], "counts": [48, 4, 908]}}
    writers.write(tmp_path / "train.json", document)
    target = _read(tmp_path).samples[0].target
    assert [each.crowd for each in target.instances] == [True]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"categories": []},
            "1 annotations of a category id that the file does not list:\n  train.json: annotation id 1: 1",
        ),
        ({"categories": [{"id": 1}]}, r"broken categories \(expected id and name\):\n  train.json: categories\[0\]"),
        ({"annotations": [{"image_id": 0}]}, r"broken annotations .*\n  train.json: annotations\[0\]"),
        ({"annotations": [{"id": 4, "image_id": 9, "category_id": 1, "bbox": [1, 1, 2, 2]}]}, "annotation id 4: 9"),
        ({"annotations": [{"id": 4, "image_id": 0, "category_id": 1}]}, "expected image_id, category_id, and bbox"),
        ({"annotations": [{"id": 4, "image_id": 0, "category_id": 1, "bbox": [1, 1, "2", 2]}]}, "annotation id 4"),
        ({"images": [{"id": 0, "file_name": "b.jpg", "width": 40, "height": 24}]}, "image id 0: 'b.jpg'"),
        ({"images": [{"id": 0, "width": 40, "height": 24}]}, r"broken image entries .*\n  train.json: images\[0\]"),
        ({"images": [{"id": 0, "file_name": "a.jpg", "width": 0, "height": 24}]}, "broken image entries"),
    ],
)
def test_what_is_broken_is_listed_with_its_place(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    writers.image(tmp_path / "a.jpg")
    writers.write(tmp_path / "train.json", _document("a.jpg", **change))
    with pytest.raises(DataError, match=fault):
        _read(tmp_path)


@pytest.mark.parametrize(
    ("segmentation", "fault"),
    [
        ({"size": [24, 41], "counts": "0"}, "covers 41 x 24 pixels, its image has 40 x 24"),
        ({"size": [24, 40], "counts": [5]}, "runs cover 5 pixels, the image has 960"),
        ({"size": [24, 40], "counts": "~~"}, "not compressed run lengths"),
        ({"size": [24, 40], "counts": {}}, "neither text nor whole numbers"),
        ({"size": "x", "counts": ""}, "its size is not"),
        ([[1, 2, 3]], "a polygon is not a list of x, y"),
    ],
)
def test_broken_segmentations_are_an_error_with_the_id(tmp_path: Path, segmentation: object, fault: str) -> None:
    writers.image(tmp_path / "a.jpg")
    document = _document("a.jpg")
    document["annotations"][0]["segmentation"] = segmentation
    writers.write(tmp_path / "train.json", document)
    with pytest.raises(DataError, match=rf"annotation id 1: .*{fault}"):
        _read(tmp_path)


def test_all_problems_are_one_error(tmp_path: Path) -> None:
    writers.image(tmp_path / "a.jpg")
    twice = [{"id": 1, "image_id": 0, "category_id": 7, "bbox": [1, 1, 2, 2]}] * 2
    writers.write(tmp_path / "train.json", _document("a.jpg", "b.jpg", annotations=twice))
    with pytest.raises(DataError, match="the annotations cannot be used") as error:
        _read(tmp_path)
    for part in ("2 annotations of a category id", "1 ids that are used twice", "1 images that do not exist"):
        assert part in str(error.value)


def test_an_image_in_two_documents_is_an_error(tmp_path: Path) -> None:
    writers.image(tmp_path / "a.jpg")
    for split in ("train", "val"):
        writers.write(tmp_path / f"{split}.json", _document("a.jpg"))
    with pytest.raises(
        DataError, match=r"annotated twice:\n  'a.jpg': train.json: image id 0 and val.json: image id 0"
    ):
        _read(tmp_path)


def test_images_that_no_document_lists_are_left_out_and_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        writers.image(tmp_path / name)
    writers.write(tmp_path / "train.json", _document("a.jpg"))
    assert any("2 images are not annotated and are left out" in line for line in _read(tmp_path).warnings)


def test_boxes_copied_from_one_based_corners_are_moved_on_demand(tmp_path: Path) -> None:
    writers.image(tmp_path / "a.jpg")
    writers.write(tmp_path / "train.json", _document("a.jpg"))
    target = _read(tmp_path, box_origin=1).samples[0].target
    assert isinstance(target, Boxes)
    assert target.boxes[0].corners == (0.0, 1.0, 4.0, 6.0)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(1.0, 3.0, 40.0, 20.0)] * 10, True),
        ([(1.0, 3.0, 40.0, 20.0)] * 9, False),
        ([(1.0, 3.0, 40.0, 20.0)] * 10 + [(0.0, 3.0, 40.0, 20.0)], False),
        ([(1.0, 3.0, 40.0, 20.0)] * 10 + [(1.5, 3.0, 40.0, 20.0)], False),
        ([(1.0, 3.0, 39.0, 20.0)] * 10, False),
    ],
)
def test_only_strong_evidence_shows_one_based_corners(boxes: list[Any], expected: bool) -> None:
    assert looks_one_based([(box, (40, 24)) for box in boxes]) is expected
