"""Mask images: layouts, palettes, colors, void and EXIF; the audit hashes them and finds values that are not listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.config.annotations import AnnotationsConfig
from raytl.config.schema import DataConfig
from raytl.data.audit import audit
from raytl.data.formats import scan
from raytl.data.manifest import Manifest, dataset_digest
from raytl.data.mask_pixels import mask_values
from raytl.data.targets import Mask
from raytl.errors import DataError
from tests.data.annotations import writers

VALUES = np.zeros((24, 40), np.uint8)
VALUES[4:12, 10:30] = 1
VALUES[12:14] = 255
COLORS = {0: (0, 0, 0), 1: (64, 128, 64), 255: (224, 224, 192)}


def _mask(path: Path, values: np.ndarray = VALUES, mode: str = "L") -> None:
    """Write a mask: gray, with a palette, or in the colors of its values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    if mode == "P":
        picture = picture.convert("P")
        picture.putdata(values.ravel().tolist())
        picture.putpalette([part for value in range(256) for part in COLORS.get(value, (value, 1, 2))])
    if mode == "RGB":
        table = np.array([COLORS.get(value, (9, 9, 9)) for value in range(256)], np.uint8)
        picture = Image.fromarray(table[values])
    picture.save(path)


def _scene(root: Path, names: str | None = "background\nanimal\n", mode: str = "L", file: str = "classes.txt") -> None:
    for seed, name in enumerate(("train/a", "train/b", "val/a", "val/b")):
        writers.image(root / f"images/{name}.jpg", seed=seed)
        _mask(root / f"masks/{name}.png", mode=mode)
    if names is not None:
        writers.write(root / file, names)


def _read(root: Path, **options: object) -> Manifest:
    return scan(str(root), annotations=AnnotationsConfig.model_validate(options))


def _classes(manifest: Manifest) -> dict[int, str]:
    (classes,) = {sample.target.classes for sample in manifest.samples}  # type: ignore[union-attr]
    return {each.value: each.name for each in classes}


def test_photos_and_masks_are_paired_and_values_named(tmp_path: Path) -> None:
    _scene(tmp_path)
    manifest = _read(tmp_path)
    assert [(s.key, s.split) for s in manifest.samples[:1]] == [("images/train/a.jpg", "train")]
    assert len(manifest.samples) == 4
    target = manifest.samples[0].target
    assert isinstance(target, Mask)
    assert target.key == "masks/train/a.png"
    assert _classes(manifest) == {0: "background", 1: "animal", 255: ""}
    assert manifest.classes == ("animal", "background")


COLOR_FILES = [
    ("label_colors.txt", "0 0 0\tbackground\n64 128 64\tanimal\n224 224 192\tVoid\n"),
    ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\nanimal,64,128,64\nvoid,224,224,192\n"),
    ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nanimal:64,128,64::\nignore:224,224,192::\n"),
]


@pytest.mark.parametrize(("file", "text"), COLOR_FILES)
@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_colors_are_named_as_the_common_tools_do(tmp_path: Path, file: str, text: str, mode: str) -> None:
    _scene(tmp_path, text, mode, file)
    manifest = audit(_read(tmp_path), DataConfig(uri=str(tmp_path)))
    target = manifest.samples[0].target
    assert isinstance(target, Mask)
    assert target.present == ("animal", "background")
    names = {each.value: each.name for each in target.classes}
    values = mask_values(Path(target.path).read_bytes(), 10**6)
    expected = {0: "background", 1: "animal", 255: ""}
    assert [names[value] for value in values.ravel().tolist()] == [expected[value] for value in VALUES.ravel().tolist()]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("0 background\n1 big animal\n", {0: "background", 1: "big animal", 255: ""}),
        ("value,name\n0,background\n1,animal\n255,rest\n", {0: "background", 1: "animal", 255: "rest"}),
        ("__ignore__\n_background_\nanimal\n", {0: "_background_", 1: "animal", 255: ""}),
        ("background\r\nanimal\r\nvoid\r\n", {0: "background", 1: "animal", 2: "", 255: ""}),
    ],
)
def test_values_are_named_with_or_without_numbers(tmp_path: Path, names: str, expected: dict[int, str]) -> None:
    _scene(tmp_path, names)
    assert _classes(_read(tmp_path)) == expected


def test_class_zero_is_what_the_file_says_and_void_is_what_is_set(tmp_path: Path) -> None:
    _scene(tmp_path)
    assert _classes(_read(tmp_path, void=["background", 255])) == {0: "", 1: "animal", 255: ""}
    with pytest.raises(DataError, match=r"annotations\.void that no mask has:\n  'sky'"):
        _read(tmp_path, void=["sky"])


def test_without_names_the_classes_are_the_values_and_this_is_said(tmp_path: Path) -> None:
    _scene(tmp_path, None)
    manifest = _read(tmp_path)
    assert _classes(manifest) == {0: "0", 1: "1", 255: ""}
    assert any("classes are the values that occur: 0, 1, 255" in line for line in manifest.warnings)


def test_colors_without_names_are_an_error(tmp_path: Path) -> None:
    _scene(tmp_path, None, "RGB")
    with pytest.raises(DataError, match="red,green,blue,name"):
        _read(tmp_path)


@pytest.mark.parametrize(
    ("photo", "mask"),
    [
        ("JPEGImages/a.jpg", "SegmentationClass/a.png"),
        ("train/a.png", "trainannot/a.png"),
        ("leftImg8bit/train/a_leftImg8bit.png", "gtFine/train/a_gtFine_labelIds.png"),
        ("img/a.jpg", "labels/a_L.png"),
    ],
)
def test_common_layouts_are_paired(tmp_path: Path, photo: str, mask: str) -> None:
    writers.image(tmp_path / photo)
    for other in (mask, mask.replace("labelIds", "instanceIds")):
        _mask(tmp_path / other)
    writers.write(tmp_path / "classes.txt", "background\nanimal\n")
    (sample,) = _read(tmp_path, format="masks").samples
    assert (sample.key, sample.target.key) == (photo, mask)  # type: ignore[union-attr]


def test_a_suffix_pairs_masks_in_the_folder_of_the_photos_on_demand(tmp_path: Path) -> None:
    writers.image(tmp_path / "a.jpg")
    _mask(tmp_path / "a_mask.png")
    (sample,) = _read(tmp_path, format="masks").samples
    assert sample.target.key == "a_mask.png"  # type: ignore[union-attr]


def test_a_mask_of_another_resolution_is_taken_and_of_other_proportions_is_an_error(tmp_path: Path) -> None:
    _scene(tmp_path)
    _mask(tmp_path / "masks/train/a.png", VALUES[::2, ::2].copy())
    assert len(_read(tmp_path).samples) == 4
    _mask(tmp_path / "masks/train/a.png", VALUES[:, :20].copy())
    with pytest.raises(DataError, match=r"'masks/train/a\.png': 20 x 24 pixels, 'images/train/a\.jpg': 40 x 24"):
        _read(tmp_path)


def test_a_mask_drawn_before_rotation_turns_with_the_photo(tmp_path: Path) -> None:
    _scene(tmp_path)
    writers.image(tmp_path / "images/train/a.jpg", orientation=6)
    target = _read(tmp_path).samples[0].target
    assert isinstance(target, Mask)
    assert target.orientation == 6
    turned = mask_values(Path(target.path).read_bytes(), 10**6, target.orientation)
    assert np.array_equal(turned, np.rot90(VALUES, -1))
    _mask(tmp_path / "masks/train/a.png", np.rot90(VALUES).copy())
    assert _read(tmp_path).samples[0].target.orientation == 1  # type: ignore[union-attr]


def test_masks_without_photos_are_an_error(tmp_path: Path) -> None:
    _scene(tmp_path)
    for name in "cdefghijklmnopqrstuv":
        writers.image(tmp_path / f"images/train/{name}.jpg")
        _mask(tmp_path / f"masks/train/{name}.png")
    _mask(tmp_path / "masks/train/z.png")
    with pytest.raises(DataError, match=r"masks of images that do not exist:\n  'masks/train/z\.png'"):
        _read(tmp_path)


def _audit(root: Path, **options: str) -> Manifest:
    return audit(_read(root), DataConfig(uri=str(root), **options))  # type: ignore[return-value, arg-type]


def test_the_audit_hashes_masks_so_that_a_new_mask_is_new_data(tmp_path: Path) -> None:
    _scene(tmp_path)
    before = _audit(tmp_path).samples
    assert all(len(sample.target.digest) == 64 for sample in before)  # type: ignore[union-attr]
    changed = VALUES.copy()
    changed[0, 0] = 1
    _mask(tmp_path / "masks/train/a.png", changed)
    assert dataset_digest(_audit(tmp_path).samples) != dataset_digest(before)


@pytest.mark.parametrize("content", ["unlisted", "broken"])
def test_the_audit_finds_masks_that_cannot_be_used(tmp_path: Path, content: str) -> None:
    _scene(tmp_path)
    if content == "broken":
        data = (tmp_path / "masks/train/a.png").read_bytes()
        (tmp_path / "masks/train/a.png").write_bytes(data[: len(data) // 2])
    else:
        _mask(tmp_path / "masks/train/a.png", np.full((24, 40), 7, np.uint8))
    fault = {"unlisted": "has the values 7, which no class has", "broken": "broken image"}[content]
    with pytest.raises(DataError, match=rf"'images/train/a\.jpg': its mask 'masks/train/a\.png'.*{fault}"):
        _audit(tmp_path)
    assert len(_audit(tmp_path, on_bad_image="skip").samples) == 3
