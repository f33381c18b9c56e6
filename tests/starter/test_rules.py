"""Each key follows from the data, and its reason has the numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from raytl.data.object_counts import ObjectCounts
from raytl.starter import rules
from raytl.starter.facts import DataFacts, ImageFacts

PLAIN = DataFacts(
    uri="photos",
    counts={"train": {"a": 500, "b": 500}, "val": {"a": 60, "b": 60}, "test": {"a": 60, "b": 60}},
    brought=(),
    remote_bytes=0,
    images=ImageFacts(opened=96, gray=0, unreadable=0, short_px=300, aspect=1.3),
    model_px=224,
    center_crop=0.875,
)


def chosen(facts: DataFacts) -> dict[str, Any]:
    return {choice.key: choice.value for choice in rules.choices(facts)}


def reason(facts: DataFacts, key: str) -> str:
    return next(choice.why for choice in rules.choices(facts) if choice.key == key)


def with_images(**changes: Any) -> DataFacts:
    return replace(PLAIN, images=replace(PLAIN.images, **changes))


def test_plain_data_asks_for_splits_only() -> None:
    assert chosen(PLAIN) == {"data.val_fraction": 0.15, "data.test_fraction": 0.15}
    assert list(rules.notes(PLAIN)) == ["1,240 images of 2 classes, 1,000 of them for training."]


def test_gray_images_are_noted() -> None:
    assert any("90 of 96 opened images are gray" in note for note in rules.notes(with_images(gray=90)))


def test_splits_of_the_data_are_kept() -> None:
    facts = replace(PLAIN, brought=("train", "val", "test"))
    assert "data.val_fraction" not in chosen(facts)
    assert "data.test_fraction" not in chosen(facts)
    assert "Splits found in the data and kept: train 1,000, val 120, test 120." in rules.notes(facts)
    assert "data.test_fraction" in chosen(replace(PLAIN, brought=("train", "val")))


def test_long_images_keep_their_shorter_side_where_the_model_crops() -> None:
    assert chosen(with_images(aspect=2.0))["model.preprocess.crop_fraction"] == 1.0
    assert "aspect ratio is 2.0" in reason(with_images(aspect=2.0), "model.preprocess.crop_fraction")
    for kept in (None, 1.0):
        assert "model.preprocess.crop_fraction" not in chosen(replace(with_images(aspect=2.0), center_crop=kept))


def test_data_beyond_the_disks_limit_is_streamed() -> None:
    assert chosen(replace(PLAIN, remote_bytes=101 * 10**9))["data.stream"] is True
    assert "data.stream" not in chosen(replace(PLAIN, remote_bytes=10**9))


def test_small_and_unreadable_images_and_small_splits_are_noted() -> None:
    [_, small] = rules.notes(with_images(short_px=64))
    assert "median shorter side is 64 px and the model's input is 224 px" in small
    [_, unreadable] = rules.notes(with_images(unreadable=3))
    assert unreadable.startswith("3 of 96 opened images cannot be decoded")
    [_, held_out] = rules.notes(replace(PLAIN, counts={**PLAIN.counts, "test": {"a": 5, "b": 4}}))
    assert held_out == "Only 9 test images: expect wide confidence intervals."


SCENES = replace(
    PLAIN,
    task="detection",
    annotated="boxes",
    counts={"train": {"cat": 900, "dog": 30}, "val": {"cat": 70}, "test": {"cat": 60}},
    sizes={"train": 300, "val": 40, "test": 40},
    defaults={"transfer.unfreeze": "all", "train.batch_size": 8, "train.epochs": 30},
    objects=ObjectCounts(300, 12, {"cat": 900, "dog": 30}, 0, {"small": 30, "medium": 600, "large": 300}, 3.0, 9),
    images=ImageFacts(opened=96, gray=0, unreadable=0, short_px=600, aspect=1.33, width_px=800, height_px=600),
    center_crop=None,
)


def test_annotated_images_get_their_task_and_a_frame() -> None:
    assert chosen(SCENES) == {
        "task": "detection",
        "data.val_fraction": 0.15,
        "data.test_fraction": 0.15,
        "model.preprocess.image_px": [512, 384],
    }
    assert reason(SCENES, "task") == "The images are annotated with boxes."
    assert list(rules.notes(SCENES)) == [
        "380 images of 2 classes, 300 of them for training.",
        "Objects for training: cat 900, dog 30. By size: 30 small, 600 medium, 300 large. 12 images have none.",
    ]
