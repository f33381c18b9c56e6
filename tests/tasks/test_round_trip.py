"""Files of predictions are read again as the annotations of a data set."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.data.annotations import rle
from raytl.data.formats import scan
from raytl.data.targets import Box, Boxes, Instance, Instances, Mask, Target
from raytl.metrics.segmentation import VOID
from raytl.tasks.answers import Answers, open_photo
from raytl.tasks.detection import export as boxes
from raytl.tasks.instances import export as instances
from raytl.tasks.instances.answer import Segments
from raytl.tasks.segmentation import export as maps
from tests.tasks.detection.answers import detections

NAMES = ("cat", "a dog", "ガラス")
SIZE = (40, 30)


@pytest.fixture
def photos(tmp_path: Path) -> tuple[str, ...]:
    """Two photos of one name in different folders."""
    paths = [tmp_path / "data/images" / folder / "1.png" for folder in ("a", "b")]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (30, 40, 3)).astype(np.uint8)).save(path)
    return tuple(map(str, paths))


def targets(place: Path) -> dict[str, Target]:
    """The targets that are read there, by folder of the photo."""
    return {Path(sample.path).parent.name: sample.target for sample in scan(str(place)).samples}


def detected(photos: tuple[str, ...]) -> Answers[boxes.Detections]:
    answer = detections([[1, 2, 11, 14], [20, 4, 40, 24]], [0.75, 0.5], [0, 2])
    return Answers(photos, (SIZE, SIZE), (answer, detections([], [], [])), NAMES)


EXPECTED = {"a": Boxes(*SIZE, (Box("cat", 1, 2, 11, 14), Box("ガラス", 20, 4, 40, 24))), "b": Boxes(*SIZE, ())}


@pytest.mark.parametrize("name", ["predictions.json", "predictions.csv", "predictions.parquet"])
def test_files_of_boxes_are_read_again(name: str, photos: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "data" / name
    boxes.PREDICTIONS.check_output(out)
    next(each for each in boxes.FORMATS if each.ending == out.suffix).write(detected(photos), out, open_photo)
    assert targets(tmp_path / "data" if out.suffix == ".json" else out) == EXPECTED


def test_yolo_labels_are_read_again(photos: tuple[str, ...], tmp_path: Path) -> None:
    boxes.write_yolo(detected(photos), tmp_path / "out", open_photo)
    shutil.copytree(tmp_path / "data/images", tmp_path / "out/images")
    assert targets(tmp_path / "out") == EXPECTED


def test_instances_are_read_again(photos: tuple[str, ...], tmp_path: Path) -> None:
    bitmap = np.zeros((30, 40), bool)
    bitmap[3:9, 5:20] = bitmap[20, 20] = True
    counts = rle.from_bitmap(bitmap)
    corners = np.array([rle.box(counts, *SIZE)], np.float32)
    answer = Segments(corners, np.array([0.5], np.float32), np.array([1]), (counts,), SIZE)
    nothing = Segments(corners[:0], answer.scores[:0], answer.labels[:0], (), SIZE)
    written = Answers(photos, (SIZE, SIZE), (answer, nothing), NAMES)
    instances.PREDICTIONS.formats[0].write(written, tmp_path / "data/predictions.json", open_photo)
    read = targets(tmp_path / "data")
    assert read["a"] == Instances(*SIZE, (Instance("a dog", counts),))
    assert read["b"] == Instances(*SIZE, ())


def test_masks_are_read_again_with_their_names_and_void(photos: tuple[str, ...], tmp_path: Path) -> None:
    class_map = np.zeros((30, 40), np.uint8)
    class_map[10:20], class_map[20:25], class_map[25:] = 1, 2, VOID
    maps.write_masks(Answers(photos, (SIZE, SIZE), (class_map,) * 2, NAMES), tmp_path / "data/masks", open_photo)
    for mask in targets(tmp_path / "data").values():
        assert isinstance(mask, Mask)
        names = {each.value: each.name for each in mask.classes}
        with Image.open(mask.path) as picture:
            colors, values = np.asarray(picture.convert("RGB")).astype(int), np.asarray(picture)
        keys = values if set(names) <= set(range(256)) else colors @ (1 << 16, 1 << 8, 1)
        assert [names[int(keys[row, 0])] for row in (0, 10, 20, 25)] == [*NAMES, ""]
