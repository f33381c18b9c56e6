"""Random scenes, and the reference evaluators' scores of them."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from faster_coco_eval import COCO as FastCOCO
from faster_coco_eval import COCOeval_faster
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from raytl.metrics.matching import Scene
from raytl.tasks.overlap import box_areas, box_overlaps

STATS = (
    "map", "map_50", "map_75", "map_small", "map_medium", "map_large",
    "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip


class Image:
    """Corners of truths and detections of one image; detections by falling score."""

    def __init__(self, truths: Any, labels: Any, crowd: Any, boxes: Any, scores: Any, detected: Any) -> None:
        order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")
        self.truths, self.labels = np.reshape(truths, (-1, 4)).astype(float), np.asarray(labels, dtype=int)
        self.crowd = np.asarray(crowd, dtype=bool)
        self.boxes, self.detected = (
            np.reshape(boxes, (-1, 4))[order].astype(float),
            np.asarray(detected, dtype=int)[order],
        )
        self.scores = np.asarray(scores, dtype=float)[order]

    def scene(self) -> Scene:
        return Scene(
            self.labels, box_areas(self.truths), self.crowd, self.detected, self.scores, box_areas(self.boxes),
            box_overlaps(self.boxes, self.truths, self.crowd),
        )  # fmt: skip


def random_images(
    count: int, classes: int, seed: int, *, crowds: float = 0.1, ties: bool = True, noise: float = 0.1
) -> list[Image]:
    """Images of many sizes of objects, some empty, some without detections, with equal scores and duplicates."""
    return [
        _random_image(np.random.default_rng([seed, number]), classes, crowds, ties, noise) for number in range(count)
    ]


def _random_image(rng: np.random.Generator, classes: int, crowds: float, ties: bool, noise: float) -> Image:
    objects = int(rng.integers(0, 9))
    sides = np.exp(rng.uniform(np.log(8), np.log(180), (objects, 2)))
    corners = rng.uniform(0, 300, (objects, 2))
    truths = np.concatenate([corners, corners + sides], axis=1).round(2)
    labels = rng.integers(0, classes, objects)
    again = rng.integers(0, objects, int(rng.integers(0, 3 * objects + 1))) if objects else np.zeros(0, dtype=int)
    boxes = truths[again] + rng.normal(0, noise, (len(again), 4)) * sides[again][:, [0, 1, 0, 1]] * rng.random(
        (len(again), 1)
    )
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    scores = rng.random(len(again)).round(1 if ties else 8)
    detected = np.where(rng.random(len(again)) < 0.2, rng.integers(0, classes, len(again)), labels[again])
    return Image(truths, labels, rng.random(objects) < crowds, boxes.astype(np.float32), scores, detected)


def reference(images: list[Image], classes: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The twelve numbers of pycocotools and of faster-coco-eval, and the average precision by class; -1 is undefined."""
    truth = {
        "info": {}, "images": [{"id": n + 1, "width": 500, "height": 500} for n in range(len(images))],
        "categories": [{"id": k, "name": str(k)} for k in range(classes)],
        "annotations": [
            {"image_id": n + 1, "category_id": int(k), "bbox": _sided(box), "area": float(box_areas(box)[0]), "iscrowd": int(c)}
            for n, image in enumerate(images) for box, k, c in zip(image.truths, image.labels, image.crowd, strict=True)
        ],
    }  # fmt: skip
    for number, each in enumerate(truth["annotations"]):  # type: ignore[var-annotated, arg-type]
        each["id"] = number + 1
    results = [
        {"image_id": n + 1, "category_id": int(k), "bbox": _sided(box), "score": float(s)}
        for n, image in enumerate(images)
        for box, k, s in zip(image.boxes, image.detected, image.scores, strict=True)
    ]
    slow = _run(COCO, COCOeval, truth, results)
    fast = _run(FastCOCO, COCOeval_faster, truth, results)
    return slow[0], fast[0], slow[1]


def _run(dataset: Any, evaluator: Any, truth: Any, results: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = dataset()
        coco.dataset = truth
        coco.createIndex()
        evaluation = evaluator(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)[:12], np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1].mean(axis=(0, 1))


def _sided(box: NDArray[Any]) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
