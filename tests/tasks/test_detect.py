"""The task is that of the experiment, of its run, or of the annotations of the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from raytl.config.dump import to_yaml
from raytl.config.schema import Experiment
from raytl.errors import DataError
from raytl.events import Event, ignore
from raytl.run.folder import RunFolder
from raytl.tasks.detect import check_targets, with_task
from raytl.tasks.registry import task_named


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """Two images with a box in a COCO document."""
    folder = tmp_path / "boxes"
    folder.mkdir()
    images = [{"id": i, "file_name": f"{i}.png", "width": 20, "height": 10} for i in range(2)]
    for image in images:
        Image.new("RGB", (20, 10)).save(folder / str(image["file_name"]))
    objects = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [2, 2, 6, 6], "area": 36, "iscrowd": 0}]
    document = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "a.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "classes" / name / "a.png")
    return tmp_path / "classes"


def experiment(uri: Path, **values: Any) -> Experiment:
    base: dict[str, Any] = {"name": "e", "data": {"uri": str(uri)}, "model": {"name": "m"}}
    return Experiment.model_validate(base | {"storage": {"uri": str(uri.parent / "runs")}} | values)


def test_boxes_make_detection_the_task_and_an_event_says_so(boxes: Path) -> None:
    events: list[Event] = []
    chosen = with_task(experiment(boxes), events.append)
    assert chosen.task == "detection"
    assert [getattr(event, "text", "") for event in events] == [
        "task: detection, because the images are annotated with boxes. Set task to choose another"
    ]


def test_class_folders_make_classification_the_task_without_a_word(classes: Path) -> None:
    events: list[Event] = []
    chosen = with_task(experiment(classes), events.append)
    assert "task" in chosen.model_fields_set
    assert (chosen.task, events) == ("classification", [])


def test_a_table_of_classes_makes_classification_the_task_without_reading_its_rows(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("path,label\ngone.jpg,cat\n")
    events: list[Event] = []
    chosen = with_task(experiment(tmp_path / "table.csv"), events.append)
    assert ("task" in chosen.model_fields_set, chosen.task, events) == (True, "classification", [])


def test_a_task_that_is_set_is_not_looked_up(tmp_path: Path) -> None:
    given = experiment(tmp_path / "gone", task="segmentation")
    assert with_task(given, ignore) is given


def test_a_run_keeps_its_task_without_its_data(tmp_path: Path) -> None:
    given = experiment(tmp_path / "gone")
    stored = RunFolder.of(given).experiment
    stored.parent.mkdir(parents=True)
    stored.write_text(to_yaml(given.model_copy(update={"task": "instances"})))
    assert with_task(given, ignore).task == "instances"


def test_data_of_another_task_is_an_error_that_names_the_task(boxes: Path) -> None:
    from raytl.data.formats import scan

    with pytest.raises(
        DataError, match=r"2 of 2 images .* \(2 with boxes, .*expected one class an image. Set task: det"
    ):
        check_targets(task_named("classification"), scan(str(boxes)).samples)


def test_data_that_is_not_there_is_reported_where_it_is_read(tmp_path: Path) -> None:
    given = experiment(tmp_path / "gone")
    assert with_task(given, ignore) is given
