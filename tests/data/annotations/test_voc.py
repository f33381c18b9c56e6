"""Pascal VOC: origin, difficult objects, lists of splits; broken files are listed with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.annotations import AnnotationsConfig
from raytl.data.annotations.xml_tree import XmlFault, parse
from raytl.data.formats import scan
from raytl.data.manifest import Manifest
from raytl.data.targets import Box, Boxes
from raytl.errors import DataError
from tests.data.annotations import writers
from tests.data.annotations.writers import Object

CAT = Object("cat", 3, 4, 10, 12)


def _read(root: Path, **options: object) -> Manifest:
    return scan(str(root), annotations=AnnotationsConfig.model_validate(options))


def _flat(root: Path, text: str) -> None:
    writers.image(root / "a.jpg")
    writers.write(root / "a.xml", text)


@pytest.mark.parametrize(
    ("origin", "first", "expected", "said"),
    [
        ("auto", 4, 3.0, "annotations.box_origin 1: corners are read as pixels counted from 1"),
        ("auto", 0, 0.0, "annotations.box_origin 0: 1 boxes begin at 0"),
        (1, 4, 3.0, ""),
        (0, 4, 4.0, ""),
    ],
)
def test_the_origin_is_decided_and_said(tmp_path: Path, origin: object, first: int, expected: float, said: str) -> None:
    _flat(tmp_path, writers.voc_xml("a", [Object("cat", first, 5, 10, 12)], origin=0))
    manifest = _read(tmp_path, box_origin=origin)
    assert manifest.samples[0].target.boxes[0].x_min == expected  # type: ignore[union-attr]
    assert any(said in line for line in manifest.warnings) is bool(said)


def test_a_difficult_object_is_not_scored(tmp_path: Path) -> None:
    text = writers.voc_xml("a", [CAT]).replace("<difficult>0", "<difficult>1")
    _flat(tmp_path, text)
    assert _read(tmp_path).samples[0].target == Boxes(40, 24, (Box("cat", 3.0, 4.0, 10.0, 12.0, crowd=True),))


def test_lists_of_splits_choose_the_images(tmp_path: Path) -> None:
    for name in "abc":
        writers.image(tmp_path / f"JPEGImages/{name}.jpg")
        writers.write(tmp_path / f"Annotations/{name}.xml", writers.voc_xml(name, [CAT]))
    writers.write(tmp_path / "ImageSets/Main/trainval.txt", "a\n")
    writers.write(tmp_path / "ImageSets/Main/test.txt", "b\n")
    writers.write(tmp_path / "ImageSets/Main/cat_train.txt", "a  1\nc -1\n")
    manifest = _read(tmp_path)
    assert [(s.key, s.split) for s in manifest.samples] == [("JPEGImages/a.jpg", "train"), ("JPEGImages/b.jpg", "test")]
    assert any("1 annotated images are in no list of ImageSets/Main" in line for line in manifest.warnings)


def test_parts_of_an_object_are_not_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    _flat(tmp_path, writers.voc_xml("a", [CAT]).replace("</object>", part))
    assert _read(tmp_path).classes == ("cat",)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("<name>cat</name>", "", r"objects without a name or without a box:\n  a\.xml:3"),
        ("<xmin>4<", "<xmin>four<", r"a\.xml:3"),
        ("<xmin>4<", "<xmin>nan<", r"a\.xml:3"),
        ("</annotation>", "", r"a\.xml:\d: not XML"),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', r"a\.xml:1: it has a DTD"),
    ],
)
def test_what_is_broken_is_listed_with_its_line(tmp_path: Path, old: str, new: str, fault: str) -> None:
    _flat(tmp_path, writers.voc_xml("a", [CAT]).replace(old, new))
    with pytest.raises(DataError, match=fault):
        _read(tmp_path)


def test_a_file_without_its_image_is_an_error(tmp_path: Path) -> None:
    _flat(tmp_path, writers.voc_xml("a", [CAT]))
    writers.write(tmp_path / "b.xml", writers.voc_xml("b", [CAT]))
    with pytest.raises(DataError, match=r"images that do not exist:\n  b\.xml: 'b\.png'"):
        _read(tmp_path)


def test_entities_do_not_expand_and_nothing_external_is_read() -> None:
    laughs = b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    external = b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'
    for content in (laughs, external):
        with pytest.raises(XmlFault, match="DTD"):
            parse(content)


@pytest.mark.parametrize("content", [b"", b"<a>", b"\xff\xfe", b"<a>" * 30 + b"</a>" * 30, b'<?xml encoding="x"?><a/>'])
def test_what_is_not_xml_within_bounds_is_a_fault(content: bytes) -> None:
    with pytest.raises(XmlFault, match="not XML|levels"):
        parse(content)
