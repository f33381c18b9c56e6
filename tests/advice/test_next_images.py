"""What `raytl next` writes and says, without images."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from raytl.advice.next_images import NextImage, NextImages, expected_gain, next_images, object_uri, sentences
from raytl.advice.next_sheet import table, write_page
from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.errors import ConfigError, DataError, ModelError
from raytl.events import ignore
from raytl.labelling.choose import Labelled
from raytl.metrics.intervals import Interval
from raytl.metrics.learning_curve import LearningCurve
from raytl.store.pulled import place_of
from raytl.store.s3_settings import S3Settings
from tests.labelling.blobs import blobs

IMAGES = (
    NextImage("data.unlabelled:a/1.jpg", "/all/a/1.jpg", "cat", 0.4, 0.9),
    NextImage("data.unlabelled:=x.jpg", "/all/=x.jpg", "=dog", 0.5, 0.8),
)


def experiment(**data: str) -> Experiment:
    return Experiment(name="x", data={"uri": "own/", **data}, model="m")


def test_the_table_has_an_empty_column_for_labels() -> None:
    rows = list(csv.DictReader(table(IMAGES).splitlines()))
    assert [row["path"] for row in rows] == ["/all/a/1.jpg", "/all/=x.jpg"]
    assert [row["label"] for row in rows] == ["", ""]
    assert rows[1]["suggested"] == "'=dog", "no formula"


@pytest.mark.parametrize(
    ("source", "root", "name", "uri"),
    [
        ("s3://bucket/all/", "s3://bucket/all", "a/1.jpg", "s3://bucket/all/a/1.jpg"),
        ("s3://bucket/all/list.csv", "s3://bucket/all", "a/1.jpg", "s3://bucket/all/a/1.jpg"),
        ("list.csv", "s3://other", "other/a/1.jpg", "s3://other/a/1.jpg"),
    ],
)
def test_the_table_names_objects_of_buckets(source: str, root: str, name: str, uri: str) -> None:
    own = experiment(unlabelled=source)
    path = f"{place_of(root, S3Settings.of(own.storage)).files}/a/1.jpg"
    image = NextImage(
        "x", path, "cat", 0.4, 0.9, object_uri(Sample(f"data.unlabelled:{name}", path, None, "train"), own)
    )
    assert next(csv.DictReader(table([image]).splitlines()))["path"] == uri
    assert object_uri(Sample(f"data.unlabelled:{name}", "/all/a/1.jpg", None, "train"), own) is None


def test_the_page_shows_images_and_names_those_that_are_gone(tmp_path: Path) -> None:
    page = write_page(tmp_path / "next.csv", IMAGES, experiment(unlabelled="all/"))
    assert page.name == "next.html"
    assert "2 images to label next" in page.read_text()
    assert "data.unlabelled:a/1.jpg" in page.read_text()


@pytest.mark.parametrize(
    ("count", "data", "out", "match"),
    [
        (0, {"unlabelled": "all/"}, None, r"-n: found 0; expected 1 image or more"),
        (5, {}, None, r"data\.unlabelled: found null; expected a folder or s3:// prefix"),
        (5, {"unlabelled": "all/"}, "x.txt", r"--out x\.txt: found the ending '\.txt'; expected \.csv"),
    ],
)
def test_options_that_choose_nothing_are_errors(count: int, data: dict[str, str], out: str | None, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        next_images(experiment(**data), count, None if out is None else Path(out), ignore)


@pytest.mark.parametrize(
    ("there", "match"),
    [("photos.csv", r"photos\.csv: exists already"), ("photos.html", r"its page .*photos\.html exists")],
)
def test_neither_the_table_nor_its_page_is_overwritten_without_force(tmp_path: Path, there: str, match: str) -> None:
    (tmp_path / there).write_text("mine")
    of_nothing = experiment(unlabelled=str(tmp_path / "none"), uri=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=match):
        next_images(of_nothing, 5, tmp_path / "photos.csv", ignore)
    with pytest.raises(ModelError, match="no model 'm'"):  # beyond the check
        next_images(of_nothing, 5, tmp_path / "photos.csv", ignore, force=True)


def test_the_gain_of_labels_follows_the_learning_curve() -> None:
    curve = LearningCurve((10, 20, 40), (0.4, 0.3, 0.2), Interval(0.5, 0.3, 0.7), None)
    assert expected_gain(curve, 100, 300, 100) == pytest.approx(10.0)
    assert expected_gain(curve, 400, 1200, 100) == pytest.approx(5.0), "half the error at four times the images"
    assert expected_gain(LearningCurve((10,), (0.4,), None, None, "few"), 100, 300, 100) is None
    flat = LearningCurve((10, 20, 40), (0.4, 0.3, 0.2), Interval(0.1, -0.1, 0.3), None)
    assert expected_gain(flat, 100, 300, 100) is None


def test_a_learning_curve_of_many_images_is_that_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.advice.next_images.LIMIT", 60)
    features, classes = blobs(200, count=3, spread=3.0)
    rare = np.flatnonzero((classes != 2) | (np.arange(len(classes)) < 12))
    train = Labelled(features[rare], classes[rare], np.arange(len(rare)))
    learned: list[int] = []

    def curve(features: Tensor, classes: NDArray[np.int64], *_: object, **__: object) -> LearningCurve:
        learned.extend((len(features), int(np.bincount(classes).min())))
        return LearningCurve((10, 20, 40), (0.4, 0.3, 0.2), Interval(0.5, 0.3, 0.7), None)

    monkeypatch.setattr("raytl.advice.next_images.probe_curve", curve)
    lines = sentences(train, train, features[:50], 3, 35, experiment(unlabelled="all/"), ignore)
    assert learned == [44, 4]
    assert "by the learning curve of 44 of 404 labelled images: label first" in lines[-1]


def test_json_has_every_image() -> None:
    chosen = NextImages(IMAGES, 100, 20, ("x",))
    assert chosen.to_json()["images"][0]["suggested"] == "cat"
    assert chosen.suggested() == {"cat": 1, "=dog": 1}
    assert repr(chosen) == "NextImages(2 of 100 unlabelled images)"


def test_the_data_is_read_with_its_corrections_and_columns_of_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def read(*given: object) -> None:
        seen.extend(given)
        raise DataError("read")

    monkeypatch.setattr("raytl.advice.next_images.read_dataset", read)
    model = {"name": "test_resnet", "weights": "none"}
    data = {"uri": "own/", "unlabelled": "all/"}
    own = Experiment(name="x", task="classification", data=data, model=model, labels={"relabel": "fixes.csv"})
    with pytest.raises(DataError, match="read"):
        next_images(own, 5, None, ignore)
    assert own.labels in seen
