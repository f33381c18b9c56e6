"""Made images: all are training images, of classes that real images have, found again on another node."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from raytl.config.schema import Experiment
from raytl.data.synthetic import locate_synthetic, read_synthetic
from raytl.errors import DataError
from raytl.events import ignore
from raytl.store.s3_settings import ENVIRONMENT
from tests.conftest import write_photos


def experiment(uri: Path) -> Experiment:
    data = {"uri": "real", "synthetic": {"uri": str(uri), "share": 0.25}}
    return Experiment(name="a", data=data, model="m")


def test_all_made_images_are_training_images_and_keys_say_where_they_are_from(tmp_path: Path) -> None:
    write_photos(tmp_path / "made/train", 2)
    write_photos(tmp_path / "made/test", 2, seed=1)
    made = read_synthetic(experiment(tmp_path / "made"), ("blue", "green", "red"), (str,), None)
    assert len(made.samples) == 12
    assert {sample.split for sample in made.samples} == {"train"}
    assert all(sample.key.startswith("data.synthetic:") and sample.digest for sample in made.samples)
    assert made.notes[0].endswith("made, 25 % of each batch")


def test_a_class_without_real_images_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'green' is only in made images, .*expected classes of the real images: blue"):
        read_synthetic(experiment(write_photos(tmp_path / "made", 2)), ("blue", "red"), (str,), None)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_source_without_images_is_named_by_its_key(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=rf"^data.synthetic.uri .*{name}"):
        read_synthetic(experiment(tmp_path / name), ("blue", "red"), (str,), None)


def test_made_images_are_found_where_another_node_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    place = write_photos(tmp_path / "made", 2)
    samples = read_synthetic(experiment(place), ("blue", "green", "red"), (str,), None).samples
    shutil.move(place, tmp_path / "moved")
    found = locate_synthetic(samples, str(tmp_path / "moved"), None, ignore, ENVIRONMENT)
    assert list(found.keys) == list(samples.keys)
    assert all(Path(path).is_file() for path in found.paths)
