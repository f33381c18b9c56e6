"""Images stand wherever an experiment file may, and give the experiment that the written file gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.config.load import load_experiment
from raytl.errors import ConfigError, DataError, ModelError
from raytl.starter import DEFAULT_MODEL, draft_from, experiment_from
from raytl.starter.source import run_name
from tests.conftest import MakePhotos

MODEL = "test_resnet"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_images_give_the_experiment_of_the_written_file(make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    Path("x.yaml").write_text(draft_from("photos/", MODEL).text())
    for overrides in ((), ("train.epochs=3", "transfer.unfreeze=all")):
        assert experiment_from("photos/", MODEL, overrides) == load_experiment("x.yaml", overrides)


def test_the_name_the_folder_and_the_model_are_in_the_experiment(make_photos: MakePhotos) -> None:
    experiment = experiment_from(make_photos(per_class=12), MODEL)
    assert (experiment.name, experiment.model.name) == ("photos", MODEL)
    assert Path(experiment.data.uri).is_absolute()
    assert experiment_from("photos").model.name == DEFAULT_MODEL
    assert experiment_from("photos", None, [f"model.name={MODEL}"]).model.name == MODEL
    assert experiment_from("photos", MODEL, ["model.name=resnet18"]).model.name == MODEL


def test_a_manifest_stands_for_its_images(make_photos: MakePhotos) -> None:
    photos = make_photos(per_class=12)
    rows = [f"{path},{path.parent.name},train\n" for path in sorted(photos.rglob("*.jpg"))]
    Path("list.csv").write_text("path,label,split\n" + "".join(rows))
    experiment = experiment_from("list.csv", MODEL)
    assert (experiment.name, experiment.data.uri) == ("list", "list.csv")


def test_a_file_is_an_experiment_whose_model_may_be_replaced(make_photos: MakePhotos) -> None:
    make_photos(per_class=2)
    Path("x.yml").write_text("name: trash\ndata: {uri: photos}\nmodel: {name: resnet18}\n")
    assert experiment_from("x.yml").model.name == "resnet18"
    assert experiment_from(Path("x.yml"), MODEL, ["train.epochs=2"]).model.name == MODEL


def test_a_reference_to_the_environment_in_a_folders_name_is_a_name(make_photos: MakePhotos, tmp_path: Path) -> None:
    make_photos(per_class=12, root=tmp_path / "${HOME}")
    assert experiment_from("${HOME}", MODEL).data.uri == "${HOME}"
    Path("x.yaml").write_text(draft_from("${HOME}", MODEL).text())
    assert load_experiment("x.yaml").data.uri == "${HOME}"


def test_grey_long_and_damaged_images_are_seen(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "scans" / label).mkdir(parents=True)
        for number in range(150):
            pixels = np.full((20, 60), number, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "scans" / label / f"{number:03d}.png")
    for path in sorted(tmp_path.rglob("*.png"))[::30]:
        path.write_bytes(b"no image")
    draft = draft_from("scans", MODEL)
    assert draft.values()["model"]["preprocess"]["crop_fraction"] == 1.0
    text = " ".join(draft.notes)
    assert "are gray" in text
    assert "median shorter side is 20 px" in text
    assert "cannot be decoded" in text


@pytest.mark.s3
def test_images_in_a_bucket_are_looked_at_where_they_are(
    make_photos: MakePhotos, s3_client: object, bucket: str
) -> None:
    photos = make_photos(per_class=12)
    for path in photos.rglob("*.jpg"):
        s3_client.upload_file(str(path), bucket, f"Trash photos/{path.relative_to(photos).as_posix()}")  # type: ignore[attr-defined]
    experiment = experiment_from(f"s3://{bucket}/Trash photos/", MODEL)
    assert (experiment.name, experiment.data.uri) == ("Trash-photos", f"s3://{bucket}/Trash photos/")


def test_a_run_is_no_data(make_photos: MakePhotos) -> None:
    Path("run").mkdir()
    Path("run/experiment.yaml").write_text("name: x\n")
    with pytest.raises(
        ConfigError, match=r"run: found a run, expected an experiment file or images.*run/experiment\.yaml"
    ):
        experiment_from("run")


def test_what_is_not_there_or_not_known_is_an_error(make_photos: MakePhotos) -> None:
    with pytest.raises(DataError, match="'photoz': photoz does not exist"):
        experiment_from("photoz", MODEL)
    make_photos(per_class=12)
    with pytest.raises(ModelError, match="resnet18x"):
        experiment_from("photos", "resnet18x")
    with pytest.raises(ConfigError, match=r"photos \(defaults\): 1 problem\n  --set transfer\.unfreez:"):
        experiment_from("photos", MODEL, ["transfer.unfreez=1"])


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("photos/", "photos"),
        ("s3://bucket/a/Trash photos.tar.gz", "Trash-photos"),
        ("s3://bucket", "bucket"),
        ("data.v2/list.csv", "list"),
        ("../x/.hidden", "hidden"),
        ("фото", "images"),
        ("a" * 200, "a" * 60),
    ],
)
def test_a_run_is_named_after_its_images(uri: str, name: str) -> None:
    assert run_name(uri) == name


def test_the_current_folder_has_a_name(tmp_path: Path) -> None:
    assert run_name(".") == run_name(str(tmp_path))


def test_how_a_bucket_is_accessed_is_part_of_the_draft(make_photos: MakePhotos) -> None:
    make_photos(per_class=12)
    draft = draft_from("photos", MODEL, ["storage.profile=lab", "optim.lr=1"])
    assert draft.values()["storage"] == {"profile": "lab"}
    assert "optim" not in draft.values()
