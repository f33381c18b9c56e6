"""LabelMe documents: shapes and groups; broken ones are listed with their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytl.config.annotations import AnnotationsConfig
from raytl.data.annotations import rle
from raytl.data.formats import scan
from raytl.data.manifest import Manifest
from raytl.data.targets import Instances
from raytl.errors import DataError
from tests.data.annotations import writers

SQUARE = [[2, 2], [6, 2], [6, 6], [2, 6]]


def _read(root: Path, **options: object) -> Manifest:
    return scan(str(root), annotations=AnnotationsConfig.model_validate(options))


def _write(root: Path, *shapes: dict[str, Any], **more: Any) -> None:
    writers.image(root / "a.jpg")
    writers.write(root / "a.json", {"imagePath": "a.jpg", "shapes": list(shapes)} | more)


def _areas(manifest: Manifest) -> list[int]:
    target = manifest.samples[0].target
    assert isinstance(target, Instances)
    return [rle.area(each.counts) for each in target.instances]


def test_a_broken_file_does_not_hide_that_the_others_are_documents(tmp_path: Path) -> None:
    _write(tmp_path, {"label": "ring", "shape_type": "circle", "points": [[20, 12], [20, 20]]})
    writers.image(tmp_path / "0.jpg")
    (tmp_path / "0.json").write_text("[" * 100)
    with pytest.raises(DataError, match=r"0.json: line 1, column 101 is not JSON"):
        _read(tmp_path)


@pytest.mark.parametrize("content", ["[" * 100, "not JSON", "[1, 2]"])
def test_json_beside_the_images_of_classes_may_be_anything(tmp_path: Path, content: str) -> None:
    for name in ("cat", "dog"):
        writers.image(tmp_path / name / "a.jpg")
        (tmp_path / name / "a.json").write_text(content)
    assert [sample.label for sample in _read(tmp_path).samples] == ["cat", "dog"]


def test_a_circle_is_filled(tmp_path: Path) -> None:
    _write(tmp_path, {"label": "ring", "shape_type": "circle", "points": [[20, 12], [20, 20]]})
    assert _areas(_read(tmp_path)) == [pytest.approx(3.1416 * 64, rel=0.03)]


def test_shapes_of_one_group_are_one_object(tmp_path: Path) -> None:
    shifted = [[x + 10, y] for x, y in SQUARE]
    shapes = [{"label": "cat", "points": points, "group_id": 1} for points in (SQUARE, shifted)]
    _write(tmp_path, *shapes, {"label": "dog", "points": SQUARE, "group_id": 1})
    assert sorted(_areas(_read(tmp_path))) == [16, 32]


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        (
            {"label": "cat", "points": [[1, 2]]},
            r"without area .*:\n  a\.json: shapes\[0\]: polygon of 1 points|None of 1",
        ),
        ({"label": "cat", "points": SQUARE, "shape_type": "line"}, r"shapes\[0\]: line of 4 points"),
        ({"label": 5, "points": SQUARE}, r"broken shapes .*\n  a\.json: shapes\[0\]"),
        ({"label": "cat", "points": [[1, "2"]]}, "broken shapes"),
        ({"label": "cat", "points": [[1, 2, 3]]}, "broken shapes"),
        ("cat", "broken shapes"),
    ],
)
def test_broken_shapes_are_listed_with_their_place(tmp_path: Path, shape: Any, fault: str) -> None:
    _write(tmp_path, shape)
    with pytest.raises(DataError, match=fault):
        _read(tmp_path)


def test_a_document_without_its_image_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path)
    writers.write(tmp_path / "b.json", {"imagePath": "b.jpg", "shapes": []})
    with pytest.raises(DataError, match=r"images that do not exist:\n  b\.json: 'b\.jpg'"):
        _read(tmp_path, format="labelme")
