"""YOLO datasets as tools write them; broken lines are listed with their file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.annotations import AnnotationsConfig
from raytl.data.formats import scan
from raytl.data.manifest import Manifest
from raytl.data.targets import Box, Boxes
from raytl.errors import DataError
from tests.data.annotations import writers


def _read(root: Path, **options: object) -> Manifest:
    return scan(str(root), annotations=AnnotationsConfig.model_validate(options))


def _write(root: Path, line: str, names: str = "names: [cat, dog]\n") -> None:
    writers.image(root / "images/a.jpg")
    writers.write(root / "labels/a.txt", line)
    writers.write(root / "data.yaml", names)


def test_the_tree_of_a_roboflow_export_is_read(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        writers.image(tmp_path / split / "images/a.jpg")
    writers.write(tmp_path / "train/labels/a.txt", "1 0.5 0.5 0.5 0.5\n")
    writers.write(
        tmp_path / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n"
    )
    first, second = _read(tmp_path).samples
    assert (first.key, first.split) == ("train/images/a.jpg", "train")
    assert first.target == Boxes(40, 24, (Box("dog", 10.0, 6.0, 30.0, 18.0),))
    assert (second.key, second.split, second.target) == ("valid/images/a.jpg", "val", Boxes(40, 24, ()))


def test_splits_may_be_lists_of_images(tmp_path: Path) -> None:
    for name in ("a", "b"):
        writers.image(tmp_path / f"images/{name}.jpg")
        writers.write(tmp_path / f"labels/{name}.txt", "0 0.5 0.5 0.5 0.5")
    writers.write(tmp_path / "train.txt", "./images/a.jpg\n")
    writers.write(tmp_path / "val.txt", "/home/me/data/images/b.jpg\n")
    writers.write(tmp_path / "data.yaml", "path: /home/me/data\ntrain: train.txt\nval: val.txt\nnames: {0: cat}\n")
    assert [(s.key, s.split) for s in _read(tmp_path).samples] == [("images/a.jpg", "train"), ("images/b.jpg", "val")]


def test_an_image_of_two_splits_belongs_to_train_and_is_said(tmp_path: Path) -> None:
    _write(tmp_path, "0 0.5 0.5 0.5 0.5", "train: images\nval: images\nnames: [cat]\n")
    manifest = _read(tmp_path)
    assert [sample.split for sample in manifest.samples] == ["train"]
    assert any("data.yaml: 1 images are in two splits; they count as train" in line for line in manifest.warnings)


def test_classes_may_be_listed_in_a_text_file_and_labels_lie_beside_images(tmp_path: Path) -> None:
    writers.image(tmp_path / "a.jpg")
    writers.write(tmp_path / "a.txt", "1 0.5 0.5 0.5 0.5")
    writers.write(tmp_path / "classes.txt", "cat\nbig dog\n")
    assert _read(tmp_path).classes == ("big dog",)


@pytest.mark.parametrize("line", ["", "\n\n"])
def test_an_empty_file_is_an_image_without_objects(tmp_path: Path, line: str) -> None:
    _write(tmp_path, line)
    assert _read(tmp_path).samples[0].target == Boxes(40, 24, ())


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("0 0.5 0.5 0.5", "not a class number and a box"),
        ("0 0.5 0.5 0.5 0.5 0.9", "not a class number and a box"),
        ("cat 0.5 0.5 0.5 0.5", "not a class number and a box"),
        ("0.5 0.5 0.5 0.5 0.5", "not a class number and a box"),
        ("2 0.5 0.5 0.5 0.5", r"class number that is not in the list of names.*\n  labels/a\.txt:1: 2"),
        ("-1 0.5 0.5 0.5 0.5", "class number that is not in the list of names"),
        ("0 20 12 10 5", "not fractions of the image"),
        ("0 nan 0.5 0.5 0.5", "not fractions of the image"),
        ("0 0.5 0.5 0 0.5", r"without area:\n  labels/a\.txt:1"),
    ],
)
def test_broken_lines_are_listed_with_their_file_and_line(tmp_path: Path, line: str, fault: str) -> None:
    _write(tmp_path, line)
    with pytest.raises(DataError, match=fault):
        _read(tmp_path, format="yolo")


def test_a_text_file_without_its_image_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path, "0 0.5 0.5 0.5 0.5")
    writers.write(tmp_path / "labels/b.txt", "0 0.5 0.5 0.5 0.5")
    with pytest.raises(DataError, match=r"images that do not exist:\n  'labels/b\.txt'"):
        _read(tmp_path)


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ("names: {zero: cat}\n", "not a number and a name"),
        ("names: [cat, [dog]]\n", "not a number and a name"),
        ("names: [cat\n", r"data\.yaml:\d: "),
        ("names: [cat]\nnames: [dog]\n", "given twice"),
        ("names: [cat]\ntrain: nowhere/else\n", r"without images:\n  data\.yaml: train: nowhere/else"),
    ],
)
def test_a_broken_data_yaml_is_an_error_with_its_line(tmp_path: Path, names: str, fault: str) -> None:
    _write(tmp_path, "0 0.5 0.5 0.5 0.5", names)
    with pytest.raises(DataError, match=fault):
        _read(tmp_path)


def test_labels_without_names_are_an_error_that_says_what_to_add(tmp_path: Path) -> None:
    writers.image(tmp_path / "images/a.jpg")
    writers.write(tmp_path / "labels/a.txt", "0 0.5 0.5 0.5 0.5")
    with pytest.raises(DataError, match="without class names; expected data.yaml"):
        _read(tmp_path)
