"""Instances become rows that any split over workers merges alike, and scores that equal COCO's."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from raytl.data.targets import Instance, Instances
from raytl.tasks.instances.answer import Segments
from raytl.tasks.instances.scores import answers_of, evidence, facts, validation
from raytl.tasks.task import Rows

CLASSES = ("cell", "nucleus")
HEIGHT, WIDTH = 60, 80


def disk(y: float, x: float, radius: float) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.asfortranarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2, dtype=np.uint8)


def encoded(pixels: NDArray[np.uint8]) -> str:
    return str(mask.encode(pixels)["counts"].decode())


def sample(count: int, seed: int) -> tuple[list[Instances], list[Segments]]:
    """Images of disks, one of them without objects, and detections of disks nearby."""
    rng = np.random.default_rng(seed)
    pairs = [_image(rng, 0 if n == 0 else int(rng.integers(1, 7))) for n in range(count)]
    return [truth for truth, _ in pairs], [answer for _, answer in pairs]


def _image(rng: np.random.Generator, objects: int) -> tuple[Instances, Segments]:
    disks = np.column_stack([rng.uniform(5, 55, objects), rng.uniform(5, 75, objects), rng.uniform(4, 20, objects)])
    labels, crowd = rng.integers(0, 2, objects), rng.random(objects) < 0.1
    truth = tuple(
        Instance(CLASSES[k], encoded(disk(*d)), bool(c)) for d, k, c in zip(disks, labels, crowd, strict=True)
    )
    again = rng.integers(0, objects, 2 * objects) if objects else np.zeros(0, dtype=int)
    masks = [disk(*(disks[place] + rng.normal(0, 1.5, 3))) for place in again]
    counts = tuple(map(encoded, masks))
    sided = np.array([mask.toBbox(mask.encode(each)) for each in masks]).reshape(-1, 4)
    boxes = np.concatenate([sided[:, :2], sided[:, :2] + sided[:, 2:]], axis=1).astype(np.float32)
    scores = rng.random(len(again)).astype(np.float32)
    return Instances(WIDTH, HEIGHT, truth), Segments(
        boxes, scores, labels[again].astype(np.int64), counts, (WIDTH, HEIGHT)
    )


def reference(truths: list[Instances], answers: list[Segments], kind: str) -> NDArray[np.float64]:
    def run(counts: str) -> dict[str, Any]:
        return {"size": [HEIGHT, WIDTH], "counts": counts.encode()}

    objects = [(n, each) for n, truth in enumerate(truths) for each in truth.instances]
    coco = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        coco.dataset = {
            "info": {},
            "images": [{"id": n, "width": WIDTH, "height": HEIGHT} for n in range(len(truths))],
            "categories": [{"id": k, "name": name} for k, name in enumerate(CLASSES)],
            "annotations": [
                {
                    "id": place + 1, "image_id": n, "category_id": CLASSES.index(each.label), "iscrowd": int(each.crowd),
                    "segmentation": run(each.counts), "area": float(mask.area(run(each.counts))),
                    "bbox": mask.toBbox(run(each.counts)).tolist(),
                }
                for place, (n, each) in enumerate(objects)
            ],
        }  # fmt: skip
        coco.createIndex()
        results = [
            {"image_id": n, "category_id": int(k), "segmentation": run(counts), "score": float(score)}
            for n, answer in enumerate(answers)
            for k, counts, score in zip(answer.labels, answer.counts, answer.scores, strict=True)
        ]
        evaluation = COCOeval(coco, coco.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)


@pytest.mark.parametrize("seed", range(3))
def test_the_validation_equals_pycocotools(seed: int) -> None:
    truths, answers = sample(10, seed)
    metrics = validation(truths, evidence(answers, truths), CLASSES).metrics
    masks, boxes = reference(truths, answers, "segm"), reference(truths, answers, "bbox")
    names = ("map", "map_50", "map_75", "ar_100", "box_map", "box_map_50")
    expected = dict(zip((f"val/{name}" for name in names), [*masks[[0, 1, 2, 8]], *boxes[:2]], strict=True))
    assert metrics == pytest.approx(expected, abs=1e-12)


def sent(rows: Rows) -> Rows:
    """The rows as a worker sends them, without pickle."""
    content = io.BytesIO()
    np.savez(content, *rows)
    content.seek(0)
    with np.load(content, allow_pickle=False) as loaded:
        return tuple(loaded[name] for name in loaded.files)


@pytest.mark.parametrize("size", [1, 3])
def test_any_batches_give_the_same_scores_as_all(size: int) -> None:
    """The bytes of the masks differ in width from batch to batch."""
    truths, answers = sample(7, 4)
    parts = [sent(evidence(answers[n : n + size], truths[n : n + size])) for n in range(0, 7, size)]
    merged = tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
    whole = validation(truths, evidence(answers, truths), CLASSES)
    split = validation(truths, merged, CLASSES)
    assert split.metrics == whole.metrics
    np.testing.assert_array_equal(split.confusion.counts, whole.confusion.counts)


def test_masks_come_back_with_their_detections() -> None:
    truths, answers = sample(5, 5)
    for before, after in zip(answers, answers_of(truths, evidence(answers, truths)), strict=True):
        order = np.argsort(-before.scores)
        assert after.counts == tuple(before.counts[place] for place in order) and after.size == before.size
        np.testing.assert_array_equal(after.boxes, before.boxes[order])


def test_the_size_of_an_object_is_that_of_its_mask() -> None:
    truth = Instances(WIDTH, HEIGHT, (Instance("cell", encoded(disk(30, 40, 17.5))),))  # 962 of 1225 square pixels
    _, answers = sample(1, 0)
    assert facts([truth], evidence(answers, [truth]), CLASSES).objects[0, 0].tolist() == [1, 1, 0, 0]
