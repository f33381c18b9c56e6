"""`raytl init`, and images in the place of an experiment file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raytl.config.load import load_experiment
from raytl.config.stored import stored_experiment
from raytl.starter import experiment_from
from tests.cli.conftest import Raytl
from tests.conftest import MakePhotos

MODEL = ("--model", "test_resnet")
SMALL = tuple(
    word
    for text in (
        "model.weights=none", "model.preprocess.image_px=32", "train.epochs=2", "train.precision=fp32",
        "compute.cluster=none", "compute.device=cpu",
    )
    for word in ("--set", text)
)  # fmt: skip


def test_the_file_is_printed_with_its_reasons_and_loads(raytl: Raytl, make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    done = raytl("init", "photos/", *MODEL)
    assert done.code == 0, done.err
    assert "# recipe: auto chooses the following" in done.out
    assert "#   train.batch_size: 8\n#       Fits 25 training images on 1 worker." in done.out
    Path("x.yaml").write_text(done.out)
    assert load_experiment("x.yaml") == experiment_from("photos/", "test_resnet")


def test_a_file_is_never_overwritten_without_force(raytl: Raytl, make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    done = raytl("init", "photos", *MODEL, "--out", "x.yaml")
    assert (done.code, done.out) == (0, "")
    assert "Wrote x.yaml. Next: raytl check x.yaml" in done.err
    Path("x.yaml").write_text("mine")
    refused = raytl("init", "photos", *MODEL, "--out", "x.yaml")
    assert refused.code == 2
    assert "x.yaml: exists already; pass --force" in refused.err
    assert Path("x.yaml").read_text() == "mine"
    assert raytl("init", "photos", *MODEL, "--out", "x.yaml", "--force").code == 0
    assert load_experiment("x.yaml").name == "photos"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("photos", "--force"), "--force: cannot take effect without --out"),
        (("photos", "--out", "x.txt"), "x.txt: found the ending '.txt', expected .yaml or .yml"),
        (("photoz",), "'photoz': photoz does not exist"),
        (("photos", "--model", "resnet18x"), "resnet18x"),
    ],
)
def test_wrong_input_is_an_error(raytl: Raytl, make_photos: MakePhotos, words: tuple[str, ...], text: str) -> None:
    make_photos(per_class=12)
    done = raytl("init", *words)
    assert (done.code, done.out) == (2, "")
    assert text in done.err


def test_programs_get_the_values(raytl: Raytl, make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    found = json.loads(raytl("init", "photos", *MODEL, "--json").out)
    assert found["experiment"]["model"] == {"name": "test_resnet"}
    assert found["notes"][0] == "36 images of 3 classes, 25 of them for training."


def test_a_folder_trains_as_the_written_file_does(raytl: Raytl, make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    raytl("init", "photos", *MODEL, "--out", "x.yaml")
    trained = raytl("train", "photos", *MODEL, *SMALL)
    assert trained.code == 0, trained.err
    again = raytl("train", "x.yaml", *SMALL)
    assert "already finished; nothing was done" in again.out
    recipe = stored_experiment(Path("runs/photos/experiment.yaml")).recipe
    assert (recipe.model.name, recipe.transfer.unfreeze, recipe.train.batch_size) == ("test_resnet", "all", 8)


def test_a_folder_is_checked_and_the_next_command_names_it(raytl: Raytl, make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    done = raytl("check", "photos", *MODEL, *SMALL)
    assert done.code == 0, done.err
    assert "next: raytl train photos --model test_resnet --set model.weights=none" in done.out


def test_a_sweep_of_a_folder_is_planned(raytl: Raytl, make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    done = raytl("tune", "photos", *MODEL, *SMALL, "--set", "search.trials=2", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["trials"] == 2


@pytest.mark.s3
def test_images_in_a_bucket_are_checked_and_downloaded_by_their_uri(
    raytl: Raytl, make_photos: MakePhotos, s3_client: Any, bucket: str
) -> None:
    photos = make_photos(per_class=12)
    for path in photos.rglob("*.jpg"):
        s3_client.upload_file(str(path), bucket, f"photos/{path.relative_to(photos).as_posix()}")
    uri = f"s3://{bucket}/photos"
    done = raytl("check", uri, *MODEL, *SMALL, "--set", "storage.region=eu-west-1")
    assert done.code == 0, done.err
    following = done.out.rpartition("next: raytl ")[2].split()
    assert following == ["sync", uri, "--set", "storage.region=eu-west-1"]
    assert raytl(*following).code == 0
    assert "next: raytl train" in raytl("check", uri, *MODEL, *SMALL).out
