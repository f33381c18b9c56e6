"""`raytl advise`: from photos and weights to advice, and every way in which there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import raytl as api
from raytl.config.load import load_experiment
from raytl.starter import experiment_from
from raytl.tasks.probe_solver import ProbeSolver
from tests.cli.conftest import Raytl
from tests.conftest import MakePhotos
from tests.search.conftest import write_weights

SMALL = ("--set", "model.preprocess.image_px=32", "--set", "train.precision=fp32", "--set", "compute.device=cpu")


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """Random weights of test_resnet, as a candidate."""
    return f"test_resnet={write_weights(tmp_path).name}"


def test_advice_is_printed_written_and_cached(
    raytl: Raytl, make_photos: MakePhotos, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(per_class=12)
    done = raytl("advise", "photos", "--weights", weights, *SMALL, "--out", "x.yaml")
    assert done.code == 0, done.err
    for text in (
        "weights.safetensors *",
        "linear probe",
        "Weights: weights.safetensors, the only candidate",
        "Wrote x.yaml. next: raytl check x.yaml",
    ):
        assert text in done.out
    experiment = load_experiment("x.yaml")
    assert (experiment.model.name, experiment.model.weights) == ("test_resnet", "weights.safetensors")
    assert experiment.model.preprocess.image_px == 32

    def computed(*_: object, **__: object) -> Any:
        raise AssertionError("features are computed again")

    monkeypatch.setattr(ProbeSolver, "features", computed)
    again = raytl("advise", "photos", "--weights", weights, *SMALL, "--json")
    assert again.code == 0, again.err
    payload = json.loads(again.out)
    assert payload["advised"] == {"text": weights, "model": "test_resnet", "weights": "weights.safetensors"}
    assert payload["experiment"]["recipe"] == "none"
    assert payload["sentences"][0] in done.out.replace("\n", " ")
    assert payload["images"] == payload["train"] == sum(12 * [1] * 3) - 11


@pytest.mark.thorough
def test_the_recipe_is_the_one_that_check_prints(raytl: Raytl, make_photos: MakePhotos, weights: str) -> None:
    make_photos(per_class=12)
    advised = json.loads(raytl("advise", "photos", "--weights", weights, *SMALL, "--json").out)
    own = ("--model", "test_resnet", "--set", "model.weights=weights.safetensors")
    checked = json.loads(raytl("check", "photos", *own, *SMALL, "--json").out)
    assert advised["recipe"] == checked["recipe"]


def test_python_takes_an_experiment_and_returns_one_to_train(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, file = make_photos(per_class=12), write_weights(tmp_path)
    overrides = {"model.preprocess.image_px": 32, "train.precision": "fp32", "compute.device": "cpu"}
    experiment = experiment_from(photos, "test_resnet", [f"{key}={value}" for key, value in overrides.items()])
    advice = api.advise(experiment, weights=[f"test_resnet={file}"], progress=False)
    assert isinstance(advice, api.Advice)
    assert (advice.experiment.model.weights, advice.experiment.recipe) == (str(file), "none")
    assert advice.best.probe.value > 0.9  # of squares told apart by color


def test_an_interrupted_measurement_leaves_no_features(
    raytl: Raytl, make_photos: MakePhotos, weights: str, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    make_photos(per_class=12)

    def stopped(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ProbeSolver, "features", stopped)
    done = raytl("advise", "photos", "--weights", weights, *SMALL, "--out", "x.yaml")
    assert done.code == 130
    assert not Path("x.yaml").exists()
    assert not [path for path in (own_cache / "features").iterdir() if path.is_dir()]


@pytest.mark.thorough
def test_other_images_or_another_size_have_features_of_their_own(
    raytl: Raytl, make_photos: MakePhotos, weights: str, own_cache: Path
) -> None:
    make_photos(per_class=12)
    for extra in ((), ("--set", "model.preprocess.image_px=40")):
        assert raytl("advise", "photos", "--weights", weights, *SMALL, *extra).code == 0
    assert len([path for path in (own_cache / "features").iterdir() if path.is_dir()]) == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--weights", "resnet18x"), "--weights resnet18x: model.name: timm has no model 'resnet18x'"),
        (("--weights", "test_resnet=nothing.pth"), "no file nothing.pth"),
        (("--weights", "test_resnet,test_vit"), "--weights test_vit: model.weights: pretrained weights of test_vit"),
        (("--model", "test_resnet"), "no source weights are available (test_resnet, mobilenetv2_100,"),
        (("--weights", "none"), "--weights 'none': found no source weights"),
        (("--force",), "--force: cannot take effect without --out"),
        (("--out", "x.txt"), "x.txt: found the ending '.txt'"),
    ],
)
def test_wrong_input_is_an_error(
    raytl: Raytl, make_photos: MakePhotos, words: tuple[str, ...], text: str, weights: str
) -> None:
    make_photos(per_class=4)
    done = raytl("advise", "photos", *words, *SMALL)
    assert (done.code, done.out) == (2, "")
    assert text in done.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("classes", "text"),
    [(("only",), "all 6 images are of one class"), (("a", "b"), "fewer than two of 2 classes have two or more")],
)
def test_too_few_images_or_classes_are_an_error(
    raytl: Raytl, make_photos: MakePhotos, weights: str, classes: tuple[str, ...], text: str
) -> None:
    for number, split in enumerate(("train", "val", "test")):
        make_photos(1 + number if len(classes) > 1 else 2, classes=classes, root=Path("photos", split), seed=number)
    done = raytl("advise", "photos", "--weights", weights, *SMALL)
    assert (done.code, done.out) == (2, "")
    assert text in done.err.replace("\n", " ")


@pytest.mark.thorough
def test_an_experiment_file_is_advised_on_and_never_rewritten(
    raytl: Raytl, make_photos: MakePhotos, weights: str, tiny: Path
) -> None:
    make_photos(per_class=6)
    done = raytl("advise", tiny, "--weights", weights)
    assert done.code == 0, done.err
    assert f"next: raytl check {tiny}" in done.out
    refused = raytl("advise", tiny, "--weights", weights, "--out", "x.yaml")
    assert refused.code == 2
    assert f"expected images as SOURCE; edit model.name and model.weights in {tiny}" in refused.err


def test_a_task_without_single_classes_is_not_supported_yet(
    raytl: Raytl, weights: str, make_photos: MakePhotos
) -> None:
    photos = make_photos(per_class=6)
    rows = [
        {"path": f"photos/{path.relative_to(photos)}", "labels": [path.parent.name]} for path in photos.rglob("*.jpg")
    ]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = raytl("advise", "data.jsonl", "--weights", weights, *SMALL)
    assert (done.code, done.out) == (2, "")
    assert "advice for multilabel is not supported yet" in done.err


@pytest.mark.s3
@pytest.mark.thorough
def test_images_in_a_bucket_are_downloaded_and_measured(
    raytl: Raytl, make_photos: MakePhotos, weights: str, s3_client: Any, bucket: str
) -> None:
    photos = make_photos(per_class=6)
    for path in photos.rglob("*.jpg"):
        s3_client.upload_file(str(path), bucket, f"photos/{path.relative_to(photos).as_posix()}")
    done = raytl("advise", f"s3://{bucket}/photos", "--weights", weights, *SMALL, "--out", "x.yaml")
    assert done.code == 0, done.err
    assert load_experiment("x.yaml").data.uri == f"s3://{bucket}/photos"
