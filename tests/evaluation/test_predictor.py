"""A network in memory answers for photos of any kind, with the bits of `raytl predict`."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from raytl.errors import DataError, ModelError, RunError, UserError
from raytl.evaluation.predict import predict
from raytl.evaluation.predictor import Predictor, load
from raytl.events import WARM_UP
from raytl.run import RunFolder, journal
from raytl.tasks.classification.prediction import Prediction
from tests.conftest import write_deep_photos, write_photos


@pytest.fixture
def model(run: RunFolder) -> Predictor:
    return load(run.root)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "new", per_class=3, px=44)


def rows(answers: list[Prediction]) -> np.ndarray:
    return np.array([list(each.probabilities.values()) for each in answers])


def test_a_photo_gives_its_class_its_probabilities_and_their_order(model: Predictor, photos: Path) -> None:
    answer = model.predict(photos / "red" / "000.jpg")
    assert answer.photo == str(photos / "red" / "000.jpg")
    assert tuple(answer.probabilities) == model.classes == ("blue", "green", "red")
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    values = [value for _, value in answer.ranked]
    assert values == sorted(values, reverse=True)
    assert (answer.label, answer.probability) == answer.ranked[0]
    assert repr(answer).startswith(f"Prediction({answer.label} 0.")


def test_paths_images_and_arrays_give_the_bits_of_the_command(model: Predictor, run: RunFolder, photos: Path) -> None:
    table = predict(run.root, photos)
    files = [Path(path) for path in table.paths]
    images = [Image.open(path) for path in files]
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in files]
    for inputs in ([photos], files, [str(path) for path in files], images, arrays, iter(arrays)):
        np.testing.assert_array_equal(rows(model.predict(inputs)), table.probabilities)
    assert [each.label for each in model.predict(photos)] == list(table.predicted)
    mixed: list[Any] = [files[0], images[1], arrays[2], *map(str, files[3:])]
    np.testing.assert_array_equal(rows(model.predict(mixed)), table.probabilities)
    assert model.weights == table.weights


def test_one_photo_alone_gives_the_bits_of_the_command_on_it_alone(
    model: Predictor, run: RunFolder, photos: Path
) -> None:
    path = photos / "green" / "001.jpg"
    alone = predict(run.root, path).probabilities
    for photo in (path, str(path), Image.open(path), np.asarray(Image.open(path))):
        np.testing.assert_array_equal(rows([model.predict(photo)]), alone)


def test_an_image_in_memory_is_turned_upright_and_left_as_it_was(model: Predictor, tmp_path: Path) -> None:
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[274] = 6
    ramp = np.tile(np.arange(60, dtype=np.uint8)[:, None, None] * 4, (1, 40, 3))
    Image.fromarray(ramp).save(path, exif=exif)
    image = Image.open(path)
    np.testing.assert_array_equal(rows([model.predict(image)]), rows([model.predict(path)]))
    assert image.size == (40, 60)


def test_the_same_image_may_be_listed_twice(model: Predictor, photos: Path) -> None:
    image = Image.open(photos / "blue" / "000.jpg")
    first, second = model.predict([image, image])
    assert first == second
    assert len(model.predict([photos / "blue" / "000.jpg"] * 2)) == 2


def test_a_folder_or_a_manifest_with_one_photo_gives_a_list(model: Predictor, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "one", per_class=1, classes=("blue",))
    assert len(model.predict(root)) == 1
    table = root / "list.csv"
    table.write_text("path\nblue/000.jpg\n")
    assert len(model.predict(str(table))) == 1


def test_threads_may_share_a_predictor(model: Predictor, photos: Path) -> None:
    paths = sorted(map(str, photos.rglob("*.jpg")))
    with ThreadPoolExecutor(3) as pool:
        several = list(pool.map(model.predict, paths))
    assert several == [model.predict(path) for path in paths]


def test_the_network_of_a_warm_up_predicts_nothing(run: RunFolder) -> None:
    shutil.copytree(run.root, run.warmup.root)
    assert load(run.warmup.root).classes, "a run may have that name"
    journal.append(run.warmup.metrics, {"epoch": 1, "stage": WARM_UP, "train/loss": 2.0})
    for place in (run.warmup.root, run.warmup.best):
        with pytest.raises(RunError, match="warm-up of a run, whose head has learned nothing; name the run above it"):
            load(place)
    assert load(run.root).classes


def test_a_saved_model_and_a_path_object_are_loaded(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.best, tmp_path / "model")
    assert load(tmp_path / "model").weights == load(str(run.root), device="cpu").weights


@pytest.mark.parametrize(
    ("photo", "text"),
    [
        (7, "found int; expected a path, an s3:// URI, a PIL image, a numpy array, or a list"),
        (b"jpeg", "found bytes; expected a path"),
        ([None], "photo 0: found NoneType; expected a path"),
        (torch.zeros(3, 4, 4), r"^found torch.Tensor; .* Convert a tensor first: tensor.permute\(1, 2, 0\).numpy\(\)$"),
        (np.zeros((8, 8, 3)), r"\(8, 8, 3\) of float64; expected \(height, width, 3\) of uint8.*Scale floats"),
        (np.zeros((3, 8, 8), np.uint8), r"\(3, 8, 8\) of uint8; .* array.transpose\(1, 2, 0\)"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"Pass a batch as list\(array\)"),
        (np.zeros((8, 8), np.uint8), "Repeat gray values"),
        (np.zeros((0, 8, 3), np.uint8), r"found an array \(0, 8, 3\)"),
        (np.broadcast_to(np.uint8(0), (10**6, 10**6, 3)), "photo 0: 1000000 x 1000000 pixels; expected at most"),
        (Image.new("RGB", (0, 5)), "photo 0: 0 x 5 pixels; expected at least 1 x 1"),
        (Image.new("La", (8, 8)), "photo 0: an image of mode La in memory"),
    ],
)
def test_what_is_no_photo_is_an_error_that_says_what_to_do(model: Predictor, photo: Any, text: str) -> None:
    with pytest.raises(UserError, match=text):
        model.predict(photo)


def test_all_missing_and_unreadable_photos_are_named_at_once(model: Predictor, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.jpg: no such file or folder(.|\n)*lost.jpg: no such file or folder"):
        model.predict([tmp_path / "gone.jpg", photos / "red" / "000.jpg", "lost.jpg"])
    (photos / "red" / "001.jpg").write_bytes(b"")
    cut = Image.open(photos / "red" / "002.jpg")
    (photos / "red" / "002.jpg").write_bytes((photos / "red" / "002.jpg").read_bytes()[:200])
    with pytest.raises(DataError, match=r"2 of 10 photos could not be read:\n.*001.jpg': empty file"):
        model.predict([photos, np.zeros((40, 40, 3), np.uint8)])
    assert model.predict(cut).label in model.classes
    with pytest.raises(DataError, match="found an empty list"):
        model.predict([])


def test_an_image_that_memory_holds_without_its_depth_is_refused(model: Predictor, tmp_path: Path) -> None:
    deep = sorted(write_deep_photos(tmp_path / "deep", 16, per_class=1).rglob("*.png"))[0]
    assert model.predict(deep).label in model.classes
    with (
        Image.open(deep) as image,
        pytest.raises(DataError, match="photo 0: an image of mode I;16 in memory; expected 8 bits"),
    ):
        model.predict(image)


def test_a_batch_size_that_is_none_is_refused(model: Predictor, photos: Path) -> None:
    with pytest.raises(UserError, match="batch_size: found 0, expected 1 or more"):
        model.predict(photos, batch_size=0)


def test_what_holds_no_model_is_refused(run: RunFolder, photos: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        load(photos)
    (run.best / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be read"):
        load(run.root)
