"""The same objects in any format, folder, archive or table are the same samples; hostile files are clear errors."""

from __future__ import annotations

import json
import shutil
import string
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raytl.config.annotations import AnnotationsConfig
from raytl.data.annotations import rle
from raytl.data.formats import scan
from raytl.data.targets import Box, Boxes, Instances, Mask
from raytl.errors import DataError, RaytlError
from raytl.store.open import open_store
from tests.data.annotations import writers
from tests.data.annotations.writers import HEIGHT, SCENE, WIDTH, Object


def _read(root: Path, **options: object) -> writers.Manifest:
    return scan(str(root), annotations=AnnotationsConfig.model_validate(options))


@pytest.fixture
def expected(tmp_path: Path) -> str:
    writers.coco(tmp_path / "expected")
    return writers.content(_read(tmp_path / "expected"))


@pytest.mark.parametrize("write", [writers.voc, writers.yolo, writers.labelme, writers.table])
def test_boxes_in_all_formats_are_the_same_data(
    write: Callable[[Path], Path | None], tmp_path: Path, expected: str
) -> None:
    place = write(tmp_path / "data") or tmp_path / "data"
    assert writers.content(_read(place)) == expected


def test_the_boxes_of_the_scene_are_read(tmp_path: Path) -> None:
    writers.coco(tmp_path)
    manifest = _read(tmp_path)
    by_key = {sample.key: sample for sample in manifest.samples}
    cat, dog = Box("cat", 0.0, 0.0, 10.0, 12.0), Box("dog", 20.0, 4.0, 40.0, 24.0)
    assert by_key["images/train/a.png"].target == Boxes(WIDTH, HEIGHT, (cat, dog))
    assert by_key["images/val/d.png"].target == Boxes(WIDTH, HEIGHT, ())
    assert {sample.key: sample.split for sample in manifest.samples} == {key: key.split("/")[1] for key in SCENE}
    assert manifest.classes == ("cat", "dog")
    assert manifest.notes == ()


def _runs(each: Object) -> list[int]:
    height = each.y_max - each.y_min
    runs = [each.x_min * HEIGHT + each.y_min]
    for _ in range(each.x_max - each.x_min):
        runs += [height, HEIGHT - height]
    runs[-1] += (WIDTH - each.x_max) * HEIGHT - each.y_min
    return runs


OUTLINES = {
    "polygon": lambda each: [each.polygon],
    "runs": lambda each: {"size": [HEIGHT, WIDTH], "counts": _runs(each)},
    "text": lambda each: {"size": [HEIGHT, WIDTH], "counts": rle.from_polygons([each.polygon], WIDTH, HEIGHT)},
}


@pytest.mark.parametrize(
    "write",
    [
        *(lambda root, outline=outline: writers.coco(root, outline) for outline in OUTLINES.values()),
        lambda root: writers.yolo(root, polygons=True),
        lambda root: writers.labelme(root, polygons=True),
    ],
)
def test_outlines_in_all_formats_are_the_same_data(write: Callable[[Path], None], tmp_path: Path) -> None:
    writers.coco(tmp_path / "expected", OUTLINES["polygon"])
    expected = _read(tmp_path / "expected")
    write(tmp_path / "data")
    assert writers.content(_read(tmp_path / "data")) == writers.content(expected)
    target = expected.samples[0].target
    assert isinstance(target, Instances)
    boxes = sorted(rle.box(each.counts, WIDTH, HEIGHT) for each in target.instances)
    assert boxes == [(0.0, 0.0, 10.0, 12.0), (20.0, 4.0, 40.0, 24.0)]


@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_an_archive_is_read_as_its_folder(ending: str, tmp_path: Path, expected: str) -> None:
    writers.voc(tmp_path / "data")
    file = shutil.make_archive(str(tmp_path / "packed"), ending, tmp_path / "data")
    assert writers.content(scan(file)) == expected


@pytest.mark.s3
def test_a_bucket_is_read_as_its_folder_pulled_or_to_be_streamed(tmp_path: Path, bucket: str, expected: str) -> None:
    writers.yolo(tmp_path / "data")
    table = writers.table(tmp_path / "data")
    store = open_store(f"s3://{bucket}")
    for path in (tmp_path / "data").rglob("*.*"):
        store.put_bytes(f"data/{path.relative_to(tmp_path / 'data').as_posix()}", path.read_bytes())
    for uri in (f"s3://{bucket}/data", f"s3://{bucket}/data/{table.name}"):
        for stream in (False, True):
            assert writers.content(scan(uri, stream=stream)) == expected, (uri, stream)


def test_class_folders_are_class_folders_whatever_lies_beside_them(tmp_path: Path) -> None:
    for name in ("cats/1.png", "dogs/1.png"):
        writers.image(tmp_path / name)
        writers.write((tmp_path / name).with_suffix(".txt"), "a photo of an animal")
    writers.write(tmp_path / "info.json", {"images": 2})
    writers.write(tmp_path / "classes.txt", "cats\ndogs\n")
    writers.write(tmp_path / "meta.xml", "<meta/>")
    assert {sample.target for sample in scan(str(tmp_path)).samples} == {"cats", "dogs"}


def test_photos_in_two_class_folders_of_which_one_is_called_masks_are_not_masks(tmp_path: Path) -> None:
    for seed, name in enumerate(("masks/1.png", "no_masks/1.png")):
        writers.image(tmp_path / name, seed=seed)
    assert {sample.target for sample in scan(str(tmp_path)).samples} == {"masks", "no_masks"}


def test_a_task_of_class_names_reads_class_folders(tmp_path: Path) -> None:
    for name in ("cats/1", "dogs/2"):
        writers.image(tmp_path / f"{name}.png")
        writers.write(tmp_path / f"{name}.xml", writers.voc_xml(name[-1], [Object("head", 0, 0, 4, 4)]))
    assert {sample.target for sample in scan(str(tmp_path), prefer=(str,)).samples} == {"cats", "dogs"}
    assert scan(str(tmp_path)).classes == ("head",)


def test_of_two_formats_one_is_read_and_both_are_named(tmp_path: Path) -> None:
    writers.coco(tmp_path)
    writers.voc(tmp_path)
    (warning,) = [line for line in _read(tmp_path).warnings if "there is also" in line]
    assert "read from coco; there is also voc" in warning
    assert not [line for line in _read(tmp_path, format="voc").warnings if "there is also" in line]


def test_a_format_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    writers.coco(tmp_path)
    for name in ("voc", "yolo", "masks", "table"):
        with pytest.raises(DataError, match="expected"):
            _read(tmp_path, format=name)


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=8,
)


def _mutated(value: object, path: list[int], hostile: object) -> object:
    """The value with one of its parts, at a path of places, replaced."""
    if not path or not isinstance(value, dict | list) or not value:
        return hostile
    if isinstance(value, dict):
        key = sorted(value)[path[0] % len(value)]
        return {**value, key: _mutated(value[key], path[1:], hostile)}
    place = path[0] % len(value)
    return [*value[:place], _mutated(value[place], path[1:], hostile), *value[place + 1 :]]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A scene in each format."""
    roots = {name: tmp_path_factory.mktemp(name) for name in ("coco", "voc", "yolo", "labelme", "table")}
    writers.coco(roots["coco"], OUTLINES["text"])
    writers.voc(roots["voc"])
    writers.yolo(roots["yolo"], polygons=True)
    writers.labelme(roots["labelme"])
    roots["table"] = writers.table(roots["table"])
    return roots


FEW = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(path=st.lists(st.integers(0, 40), max_size=5), hostile=HOSTILE, name=st.sampled_from(["coco", "labelme"]))
def test_malformed_json_is_read_or_is_an_error(
    scenes: dict[str, Path], path: list[int], hostile: object, name: str
) -> None:
    file = sorted(scenes[name].rglob("*.json"))[0]
    original = file.read_text()
    try:
        file.write_text(json.dumps(_mutated(json.loads(original), path, hostile)))
        with suppress(RaytlError):
            _read(scenes[name], format=name)
    finally:
        file.write_text(original)


@FEW
@given(
    name=st.sampled_from(["voc", "yolo", "table"]),
    place=st.floats(0, 1),
    text=st.text(string.printable, max_size=12) | st.sampled_from(["nan", "1e400", "-1", "<!DOCTYPE a>", '"', "\0"]),
)
def test_malformed_text_is_read_or_is_an_error(scenes: dict[str, Path], name: str, place: float, text: str) -> None:
    suffix = {"voc": "*.xml", "yolo": "labels/train/*.txt", "table": "*.csv"}[name]
    root = scenes[name].parent if name == "table" else scenes[name]
    file = sorted(root.rglob(suffix))[0]
    original = file.read_text()
    at = int(place * len(original))
    try:
        file.write_text(original[:at] + text + original[at + 3 :])
        with suppress(RaytlError):
            _read(scenes[name], format=name)
    finally:
        file.write_text(original)


@pytest.mark.assets
def test_bccd_has_the_same_boxes_in_xml_and_json_from_one_origin(assets: Path) -> None:
    root = assets / "datasets" / "bccd"
    xml, json_ = (
        {s.key: s.target for s in _read(root, format=name, on_bad_box="drop", box_origin=1).samples}
        for name in ("voc", "coco")
    )
    assert len(xml) == 364
    assert xml == json_


@pytest.mark.assets
def test_bccd_says_its_origin_and_its_two_boxes_without_area(assets: Path) -> None:
    root = assets / "datasets" / "bccd"
    xml = _read(root, format="voc", on_bad_box="drop")
    assert any("annotations.box_origin 1: corners are pixels counted from 1" in line for line in xml.warnings)
    assert [(note.action, note.count) for note in xml.notes] == [("dropped", 2)]
    assert any("boxes begin at 1 and never at 0" in line for line in _read(root, format="coco").warnings)
    with pytest.raises(DataError, match=r"BloodImage_00338\.xml:158: 504, 337, 504, 337"):
        _read(root, format="voc")


@pytest.mark.assets
def test_the_masks_of_nuclei_cover_their_instances(assets: Path) -> None:
    root = assets / "datasets" / "nuclei60"
    instances, masks = _read(root), _read(root, format="masks")
    assert [s.key for s in instances.samples] == [s.key for s in masks.samples]
    assert all(isinstance(s.target, Instances) and s.target.instances for s in instances.samples)
    assert all(isinstance(s.target, Mask) for s in masks.samples)
