"""The record of what label methods changed, and the changes that a resumed run reads from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raytl.data.sample import Sample
from raytl.errors import RunError
from raytl.labelling.change import Reason, TrainChange
from raytl.labelling.record import FILE, LabelChanges, restored, stored_changes, write_changes
from raytl.labelling.settings import KEYS

CLASSES = ("cat", "dog")
KEY = "data.unlabelled:a/1.jpg"
SETTINGS = tuple("propagate" if key == "few.method" else "none" for key in KEYS)
PRESENT = Sample(KEY, "/here/a/1.jpg", None, "train", "0" * 64)
CHANGE = TrainChange(
    frozenset({"cat/2.jpg"}),
    [replace(PRESENT, path="/gone/1.jpg", target="cat")],
    ("1 image added",),
    {KEY: Reason("few.method: propagate", 0.75), "cat/2.jpg": Reason("labels.noise: rank", 0.1)},
)


def written(folder: Path) -> LabelChanges:
    write_changes(folder, {SETTINGS: CHANGE})
    record = stored_changes(folder)
    assert record is not None
    return record


def test_a_resumed_run_learns_from_the_same_images_where_they_are_now(tmp_path: Path) -> None:
    again = restored(written(tmp_path), CLASSES, lambda source: [PRESENT] if source == "data.unlabelled" else [], "run")
    assert again == {SETTINGS: replace(CHANGE, added=[replace(PRESENT, target="cat")])}
    assert again[SETTINGS].added[0].path == "/here/a/1.jpg"


def test_the_record_names_images_labels_methods_and_no_places(tmp_path: Path) -> None:
    written(tmp_path)
    change = json.loads((tmp_path / FILE).read_text())["changes"][0]
    assert change["settings"]["few.method"] == "propagate"
    assert change["added"] == [
        {"key": KEY, "label": "cat", "digest": "0" * 64, "by": "few.method: propagate", "confidence": 0.75}
    ]
    assert change["left_out"] == [{"key": "cat/2.jpg", "by": "labels.noise: rank", "confidence": 0.1}]
    assert "/gone" not in (tmp_path / FILE).read_text()


@pytest.mark.parametrize("present", [[], [replace(PRESENT, digest="1" * 64)]])
def test_images_that_changed_since_are_an_error(tmp_path: Path, present: list[Sample]) -> None:
    with pytest.raises(RunError, match=r"(?s)run: 1 images that a label method added are missing or changed.*--new"):
        restored(written(tmp_path), CLASSES, lambda _: present, "run")


def test_a_label_that_is_no_class_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"(?s)run: 1 labels are no class of the data:.*'cat'.*--new"):
        restored(written(tmp_path), ("dog",), lambda _: [PRESENT], "run")


def test_without_changes_there_is_no_record(tmp_path: Path) -> None:
    written(tmp_path)
    write_changes(tmp_path, {})
    assert stored_changes(tmp_path) is None


def test_provenance_says_how_many_images_changed_and_which() -> None:
    summary = CHANGE.summary()
    assert (summary["left_out"], summary["added"]) == (1, 1)
    relabelled = replace(CHANGE, added=[replace(CHANGE.added[0], target="dog")])
    assert relabelled.summary()["digest"] != summary["digest"]
    assert replace(CHANGE, left_out=frozenset({"cat/3.jpg"})).summary()["digest"] != summary["digest"]
    assert replace(CHANGE, notes=(), reasons={}).summary() == summary
