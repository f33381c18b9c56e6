"""Detections become rows that any split over workers merges alike, and scores that equal COCO's."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.data.targets import Box, Boxes, Instance, Instances
from raytl.metrics.finding_f1 import best_threshold
from raytl.tasks.detection.answer import Detections
from raytl.tasks.detection.findings import findings
from raytl.tasks.detection.scores import METRICS, answers_of, evidence, facts, predict_score, validation
from raytl.tasks.task import Rows
from tests.metrics.coco import Image, random_images, reference

CLASSES = ("cat", "dog", "owl")


def truth_of(image: Image) -> Boxes:
    boxes = zip(image.truths.tolist(), image.labels, image.crowd, strict=True)
    return Boxes(500, 500, tuple(Box(CLASSES[label], *corners, bool(crowd)) for corners, label, crowd in boxes))


def answer_of(image: Image) -> Detections:
    return Detections(image.boxes.astype(np.float32), image.scores.astype(np.float32), image.detected.astype(np.int64))


def merged(parts: list[Rows]) -> Rows:
    """The rows as a worker sends them, without pickle."""
    sent = []
    for part in parts:
        content = io.BytesIO()
        np.savez(content, *part)
        content.seek(0)
        with np.load(content, allow_pickle=False) as rows:
            sent.append(tuple(rows[name] for name in rows.files))
    return tuple(np.concatenate(columns) for columns in zip(*sent, strict=True))


def test_the_validation_equals_pycocotools() -> None:
    images = random_images(24, 3, 1, ties=False)
    for image in images:
        image.scores = image.scores.astype(np.float32).astype(float)
    truths = [truth_of(image) for image in images]
    result = validation(truths, evidence([answer_of(image) for image in images], truths), CLASSES)
    slow, _, _ = reference(images, 3)
    expected = dict(zip(METRICS, slow[[0, 1, 2, 8]], strict=True))
    assert result.metrics == pytest.approx({f"val/{name}": value for name, value in expected.items()}, abs=1e-12)
    assert result.confusion.names == (*CLASSES, "background")
    assert result.predict_score is not None
    scored = sum(int((image.scores >= result.predict_score).sum()) for image in images)
    assert 0 < result.confusion.counts[:, :3].sum() <= scored


@pytest.mark.assets
def test_the_blood_cells_score_as_with_pycocotools(assets: Path) -> None:
    """Photos of up to 30 cells, the detections of which are their boxes with errors."""
    content = json.loads((assets / "datasets/bccd/instances_test.json").read_text())
    rng = np.random.default_rng(0)
    by_image = {image["id"]: [] for image in content["images"]}
    for each in content["annotations"]:
        by_image[each["image_id"]].append(each)
    images = [_blood(objects, rng) for objects in by_image.values()]
    truths = [truth_of(image) for image in images]
    metrics = validation(truths, evidence([answer_of(image) for image in images], truths), CLASSES).metrics
    slow, fast, _ = reference(images, 3)
    assert list(metrics.values()) == pytest.approx(slow[[0, 1, 2, 8]], abs=1e-12)
    assert list(metrics.values()) == pytest.approx(fast[[0, 1, 2, 8]], abs=1e-12)
    assert 0.2 < metrics["val/map"] < 0.9


def _blood(objects: list[dict[str, Any]], rng: np.random.Generator) -> Image:
    sided = np.array([each["bbox"] for each in objects])
    corners = np.concatenate([sided[:, :2], sided[:, :2] + sided[:, 2:]], axis=1)
    labels = np.array([each["category_id"] - 1 for each in objects])
    again = rng.permutation(np.tile(np.arange(len(objects)), 3))[: 2 * len(objects)]
    boxes = corners[again] + rng.normal(0, 0.07, (len(again), 4)) * np.tile(sided[again, 2:], 2)
    scores = rng.random(len(again)).astype(np.float32)
    return Image(corners, labels, np.zeros(len(objects), bool), boxes.astype(np.float32), scores, labels[again])


def test_the_chosen_score_is_the_best_threshold_of_the_findings() -> None:
    """Objects are found with confidence, and nothing is found with less of it."""
    rng, box, away = np.random.default_rng(0), [0, 0, 100, 100], [300, 300, 340, 340]
    images = [
        Image([box], [i % 3], [False], [box, away], [rng.uniform(0.4, 1), rng.uniform(0.1, 0.8)], [i % 3, 0])
        for i in range(30)
    ]
    truths = [truth_of(image) for image in images]
    rows = evidence([answer_of(image) for image in images], truths)
    chosen = validation(truths, rows, CLASSES).predict_score
    assert chosen == best_threshold(findings(truths, rows, CLASSES)) and 0.4 < chosen < 0.8


def test_without_a_detection_the_score_is_the_default() -> None:
    truth = Boxes(9, 9, (Box("cat", 0, 0, 5, 5),))
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert validation([truth], evidence([empty], [truth]), CLASSES).predict_score == 0.3
    assert predict_score(evidence([], [])) == 0.3


def test_detections_below_every_kept_score_are_not_reported() -> None:
    """If all are right, the best threshold lies midway to zero, where none was recorded."""
    box = [0.0, 0.0, 5.0, 5.0]
    truth = Boxes(9, 9, (Box("cat", *box),))
    answer = Detections(np.array([box], np.float32), np.array([0.06], np.float32), np.zeros(1, np.int64))
    assert validation([truth], evidence([answer], [truth]), CLASSES).predict_score == 0.05


@pytest.mark.parametrize("size", [1, 3, 7])
def test_rows_of_any_batches_are_the_rows_of_all(size: int) -> None:
    images = random_images(10, 3, 2)
    truths, answers = [truth_of(image) for image in images], [answer_of(image) for image in images]
    whole = evidence(answers, truths)
    parts = merged([evidence(answers[n : n + size], truths[n : n + size]) for n in range(0, 10, size)])
    for part, every in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(part, every)


def test_the_hundred_best_detections_are_retained_and_come_back() -> None:
    rng = np.random.default_rng(0)
    scores = rng.permutation(np.arange(130)).astype(np.float32)
    answer = Detections(rng.random((130, 4)).astype(np.float32), scores, np.arange(130) % 3, predict_score=0.6)
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    first, second = answers_of(evidence([answer, empty], [Boxes(9, 9, ())] * 2))
    best = np.argsort(-scores)[:100]
    np.testing.assert_array_equal(first.boxes, answer.boxes[best])
    np.testing.assert_array_equal(first.labels, answer.labels[best])
    assert first.scores.min() == 30 and len(second) == 0
    assert (first.predict_score, second.predict_score) == (0.6, 0.3)


def test_the_masks_of_instances_serve_as_boxes_with_their_own_area() -> None:
    """A diagonal of 40 pixels has a box of 1600 square pixels, but is small."""
    from faster_coco_eval.core import mask

    counts = mask.encode(np.asfortranarray(np.eye(40, dtype=np.uint8)))["counts"]
    truth = Instances(40, 40, (Instance("cat", counts if isinstance(counts, str) else counts.decode()),))
    answer = Detections(np.array([[0, 0, 40, 40]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    image_facts = facts([truth], evidence([answer], [truth]), CLASSES)
    assert image_facts.objects[0, 0].tolist() == [1, 1, 0, 0]
    assert validation([truth], evidence([answer], [truth]), CLASSES).metrics["val/map"] == pytest.approx(1)
    assert evidence([answer], [truth])[0].shape == (1, 100, 4)
