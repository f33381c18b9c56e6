"""What is read of a source without labels: each image once, and none that measures."""

from __future__ import annotations

import hashlib
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.errors import DataError
from raytl.events import ignore
from raytl.labelling.unlabelled import UnlabelledImages, audited_source, read_source
from tests.data.tiffs import tiff_file

KEY = "data.unlabelled"


def texture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return path


def sample(path: Path, split: str) -> Sample:
    return Sample(f"a/{path.name}", str(path), "a", split, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def labelled(tmp_path: Path) -> list[Sample]:
    return [
        sample(texture(tmp_path / f"own/{split}.png", i), split) for i, split in enumerate(("train", "val", "test"))
    ]


def read(tmp_path: Path, labelled: list[Sample], **data: object) -> UnlabelledImages:
    experiment = Experiment(name="few", data={"uri": str(tmp_path / "own"), **data}, model="mobilenetv2_100")
    return read_source(str(tmp_path / "all"), KEY, experiment, labelled)


def test_copies_of_labelled_images_are_left_out(tmp_path: Path, labelled: list[Sample]) -> None:
    for i in range(10, 14):
        texture(tmp_path / f"all/{i}.png", i)
    shutil.copy(tmp_path / "all/10.png", tmp_path / "all/again.png")
    shutil.copy(labelled[0].path, tmp_path / "all/train.png")
    Image.open(labelled[1].path).resize((40, 40)).save(tmp_path / "all/val.jpg", quality=90)
    found = read(tmp_path, labelled)
    assert [each.key for each in found.samples] == [f"{KEY}:{i}.png" for i in range(10, 14)]
    text = "\n".join(found.notes)
    assert "2 copies of labelled images left out" in text
    assert "'train.png' = 'a/train.png' (train)" in text and "'val.jpg' looks like 'a/val.png' (val)" in text
    assert "1 images are exact copies of another one" in text
    assert len(found.digest) == 64


@pytest.mark.parametrize(("name", "how"), [("x.png", "="), ("x.jpg", "looks like")])
def test_copies_of_test_images_are_an_error(tmp_path: Path, labelled: list[Sample], name: str, how: str) -> None:
    texture(tmp_path / "all/10.png", 10)
    if name.endswith("png"):
        shutil.copy(labelled[2].path, tmp_path / "all" / name)
    else:
        Image.open(labelled[2].path).save(tmp_path / "all" / name, quality=80)
    with pytest.raises(
        DataError, match=rf"1 images are copies of test images.*\n  '{name}' {how} 'a/test\.png' \(test\)"
    ):
        read(tmp_path, labelled)


def test_a_source_of_copies_only_is_an_error(tmp_path: Path, labelled: list[Sample]) -> None:
    (tmp_path / "all").mkdir()
    shutil.copy(labelled[0].path, tmp_path / "all/train.png")
    with pytest.raises(DataError, match=r"all 1 images are copies of labelled images; expected others"):
        read(tmp_path, labelled)


def test_bad_images_stop_or_are_skipped_as_the_data_says(tmp_path: Path, labelled: list[Sample]) -> None:
    texture(tmp_path / "all/10.png", 10)
    (tmp_path / "all/bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"data\.unlabelled: .*: 1 of 2 images cannot be decoded"):
        read(tmp_path, labelled)
    found = read(tmp_path, labelled, on_bad_image="skip")
    assert len(found.samples) == 1
    assert any("cannot be decoded and are skipped" in note for note in found.notes)


@pytest.mark.parametrize("key", [KEY, "adapt.target"])
def test_an_image_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path, labelled: list[Sample], key: str) -> None:
    """A source gives styles and views too: its images are decoded once, within the same limits, before any step."""
    texture(tmp_path / "all/10.png", 10)
    content = texture(tmp_path / "all/bomb.png", 11).read_bytes()
    header = b"IHDR" + struct.pack(">II", 30_000, 30_000) + content[24:29]
    (tmp_path / "all/bomb.png").write_bytes(
        content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    )
    experiment = Experiment(name="few", data=str(tmp_path / "own"), model="mobilenetv2_100")
    with pytest.raises(DataError, match=r"1 of 2 images cannot be decoded(.|\n)*bomb\.png.*30000 x 30000"):
        read_source(str(tmp_path / "all"), key, experiment, labelled)


def test_the_digest_follows_the_content(tmp_path: Path, labelled: list[Sample]) -> None:
    texture(tmp_path / "all/10.png", 10)
    before = read(tmp_path, labelled).digest
    texture(tmp_path / "all/11.png", 11)
    assert read(tmp_path, labelled).digest != before


def test_keys_of_the_source_are_reserved(tmp_path: Path, labelled: list[Sample]) -> None:
    texture(tmp_path / "all/10.png", 10)
    wrong = Sample(f"{KEY}:x.png", labelled[0].path, "a", "train", labelled[0].digest)
    with pytest.raises(DataError, match=r"has names that begin with data\.unlabelled:, which is reserved"):
        read(tmp_path, [wrong, *labelled[1:]])


def test_the_splits_of_the_labelled_images_do_not_apply(tmp_path: Path, labelled: list[Sample]) -> None:
    texture(tmp_path / "all/10.png", 10)
    assert len(read(tmp_path, labelled, split_file="splits.jsonl", val_fraction=0.8).samples) == 1


def test_images_of_other_channels_are_found_again_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for i in range(2):
        (tmp_path / f"all/{i}.tif").write_bytes(tiff_file(np.full((8, 8, 13), i, np.uint8)))
    data, model = {"uri": str(tmp_path / "own")}, {"name": "test_resnet", "channels": 13}
    experiment = Experiment(name="few", data=data, model=model)
    present, warnings = audited_source(str(tmp_path / "all"), KEY, experiment, None, ignore)
    assert len(present) == 2, warnings
