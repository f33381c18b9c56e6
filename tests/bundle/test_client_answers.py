"""What the client answers from the outputs of a graph, alone and as a program."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.bundle import client
from raytl.bundle.card import Thresholds
from raytl.bundle.client import Model, class_map, map_in_photo
from raytl.data.annotations import rle
from tests.bundle.constant import CENTER, FRAMED, photo, write_constant

PROBABILITIES = np.array([[0.2, 0.7, 0.1]], np.float32)
BOXES = np.array([[4, 4, 20, 40], [0, 0, 63, 15], [10, 10, 12, 12]], np.float32)
OBJECTS = {"boxes": BOXES, "labels": np.array([2, 0, 1]), "scores": np.array([0.9, 0.4, 0.1], np.float32)}


def test_labels_are_those_that_reach_their_threshold(tmp_path: Path) -> None:
    at = Thresholds(labels=(0.2, 0.71, 0.05))
    outputs = {"probabilities": PROBABILITIES, "features": np.ones((1, 4), np.float32)}
    answer = Model(write_constant(tmp_path, "labels", outputs, CENTER, at)).predict(photo())
    assert answer["labels"] == ["a", "c"]
    assert answer["probabilities"] == pytest.approx({"a": 0.2, "b": 0.7, "c": 0.1})


def test_names_of_classes_are_utf8_whatever_the_system_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, encoding=None: read(path, encoding or "cp1252"))  # Windows
    outputs, classes = {"probabilities": PROBABILITIES}, ["a", "Käse", "c"]
    model = Model(write_constant(tmp_path, "labels", outputs, CENTER, Thresholds(), classes=classes))
    assert model.predict(photo())["labels"] == ["Käse"]


def test_labels_without_thresholds_need_half(tmp_path: Path) -> None:
    model = Model(write_constant(tmp_path, "labels", {"probabilities": PROBABILITIES}, CENTER, Thresholds()))
    assert model.predict(photo())["labels"] == ["b"]


def test_boxes_are_in_pixels_of_the_photo_and_scores_reach_the_threshold(tmp_path: Path) -> None:
    model = Model(write_constant(tmp_path, "objects", OBJECTS, FRAMED, Thresholds(score=0.4)))
    first, second = model.predict(photo(128, 60))["objects"]  # the photo is twice the frame
    assert second["label"] == "a" and second["score"] == pytest.approx(0.4)
    assert first["label"] == "c" and first["score"] == pytest.approx(0.9)
    assert first["box"] == pytest.approx([8, 8, 40, 60]), "cut off at the border of the photo"


def test_masks_are_run_lengths_in_the_photo(tmp_path: Path) -> None:
    masks = np.zeros((3, 28, 28), np.float32)
    masks[:, :, :14] = 1.0  # the left half of each box
    model = Model(write_constant(tmp_path, "objects", OBJECTS | {"masks": masks}, FRAMED, Thresholds()))
    objects = model.predict(photo(128, 90))["objects"]
    assert len(objects) == 3
    assert objects[0]["mask"]["size"] == [90, 128], "COCO's order: height and width"
    bitmap = rle.bitmap(objects[0]["mask"]["counts"], 128, 90)
    expected = np.zeros((90, 128), bool)
    expected[8:80, 8:24] = True
    assert (bitmap & expected).sum() / (bitmap | expected).sum() > 0.9


def test_any_bitmap_has_the_run_lengths_of_coco() -> None:
    rng = np.random.default_rng(0)
    bitmaps = [rng.random((7, 9)) < share for share in (0, 0.1, 0.5, 0.9, 1)]
    bitmaps += [np.kron(rng.random((3, 4)) < 0.5, np.ones((200, 31), bool))]
    for bitmap in bitmaps:
        height, width = bitmap.shape
        assert client._run_lengths(bitmap.T.ravel(), 0, width * height) == rle.from_bitmap(bitmap)
        part = bitmap.copy()
        part[:, :2] = False
        assert client._run_lengths(part[:, 2:].T.ravel(), 2 * height, width * height) == rle.from_bitmap(part)


def test_a_class_map_is_a_png_of_the_size_of_the_photo(tmp_path: Path) -> None:
    logits = np.zeros((1, 3, 12, 16), np.float32)
    logits[:, 2, :, 8:], logits[:, 1, :6] = 2.0, 1.0
    model = Model(write_constant(tmp_path, "map", {"logits": logits}, FRAMED, Thresholds()))
    answer = model.predict(photo(128, 96))
    values = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["map_png"]))))
    assert answer["size"] == [128, 96] and answer["classes"] == ["a", "b", "c"] and values.shape == (96, 128)
    assert (values[:, 68:] == 2).all() and (values[:44, :56] == 1).all() and (values[52:, :56] == 0).all()


def test_a_large_map_is_interpolated_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    view = {"frame": (64, 48), "resize_px": 64, "crop_mode": "fit"}
    logits = np.random.default_rng(0).normal(size=(3, 12, 16)).astype(np.float32)
    whole = class_map(logits, (200, 131), view)
    monkeypatch.setattr(client, "_VALUES_AT_ONCE", 3 * 200 * 7)
    most: list[int] = []

    def counted(*arguments: object) -> object:
        part = map_in_photo(*arguments)  # type: ignore[arg-type]
        most.append(part.size)
        return part

    monkeypatch.setattr(client, "map_in_photo", counted)
    np.testing.assert_array_equal(class_map(logits, (200, 131), view), whole)
    assert len(most) == 19 and max(most) == 3 * 200 * 7


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_threads_share_a_model(runtime: str, tmp_path: Path) -> None:
    folder = write_constant(tmp_path, "objects", OBJECTS, FRAMED, Thresholds(), runtime=runtime)
    model = Model(folder, threads=1)
    expected = model.predict(photo(128, 90))
    with ThreadPoolExecutor(4) as pool:
        assert all(answer == expected for answer in pool.map(model.predict, [photo(128, 90)] * 40))


def _run(folder: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(folder / "client.py"), *paths]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_program_answers_the_other_photos_and_exits_with_2(tmp_path: Path) -> None:
    outputs = {"probabilities": PROBABILITIES, "features": np.ones((1, 4), np.float32)}
    folder = write_constant(tmp_path / "bundle", "classes", outputs, CENTER, Thresholds(answer=0.6))
    (folder / "client.py").write_bytes(Path(client.__file__).read_bytes())
    good, bad, bomb = (str(tmp_path / name) for name in ("good.png", "bad.jpg", "bomb.png"))
    Image.fromarray(photo()).save(good)
    Path(bad).write_bytes(b"<html>")
    Image.new("1", (10_000, 7_000)).save(bomb)
    ended = _run(folder, bad, bomb, good, str(tmp_path / "none.jpg"))
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    (answer,) = map(json.loads, ended.stdout.splitlines())
    assert answer["path"] == good and answer["label"] == "b" and answer["answered"] is True
    first, second, third = ended.stderr.splitlines()
    assert first.startswith(f"{bad}: not an image (starts with b'<html>')")
    assert second == f"{bomb}: 10000 x 7000 pixels; expected at most 64,000,000"
    assert "none.jpg: cannot be read (FileNotFoundError" in third
    assert _run(folder, good).returncode == 0


def test_a_changed_file_of_the_bundle_is_one_sentence(tmp_path: Path) -> None:
    folder = write_constant(tmp_path, "classes", {"probabilities": PROBABILITIES}, CENTER, Thresholds())
    (folder / "client.py").write_bytes(Path(client.__file__).read_bytes())
    (folder / "graph.onnx").write_bytes(b"other")
    ended = _run(folder, "photo.jpg")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "graph.onnx: differs from the digest in model.json" in ended.stderr
