"""Instance segmentation, composed of functions."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.data.annotations import rle
from raytl.data.targets import Instances
from raytl.data.transforms import Preprocess
from raytl.models.predict_score import predict_score_of
from raytl.tasks import dense
from raytl.tasks.dense_task import DenseTask, Sizes, defaults
from raytl.tasks.detection.findings import SECTIONS
from raytl.tasks.instances import network, scores
from raytl.tasks.instances.answer import Segments
from raytl.tasks.instances.exporting import EXPORTING
from raytl.tasks.instances.findings import FINDINGS
from raytl.tasks.instances.reporting import REPORTING
from raytl.tasks.object_batches import blank_objects, object_classes, object_targets
from raytl.tasks.objects import Limits, Predicted

_INSIDE = 0.5
"""Probability from which a pixel belongs to an object."""


def predict(module: nn.Module, inputs: Tensor, sizes: Sizes, preprocess: Preprocess, limits: Limits) -> list[Segments]:
    """Return the objects of each image."""
    views = module(inputs).decode(limits)
    score = predict_score_of(module)
    return [_segments(view, size, preprocess, score) for view, size in zip(views, sizes, strict=True)]


def _segments(view: Predicted, size: tuple[int, int], preprocess: Preprocess, predict_score: float) -> Segments:
    """Return the objects of a view in the pixels of its photo; masks are computed inside their boxes."""
    assert view.masks is not None, "the network has a mask head"
    boxes = dense.boxes_in_photo(view.boxes.cpu().numpy(), size, preprocess)
    counts = [_counts(mask, box, size, preprocess) for mask, box in zip(view.masks, boxes, strict=True)]
    scores, labels = view.scores.cpu().numpy(), view.labels.cpu().numpy()
    return Segments(boxes, scores, labels, tuple(counts), size, predict_score=predict_score)


def _counts(mask: Tensor, box: NDArray[np.float32], size: tuple[int, int], preprocess: Preprocess) -> str:
    width, height = size
    left, top = np.floor(box[:2]).astype(int).clip(0)
    end, bottom = np.minimum(np.ceil(box[2:]).astype(int), size)
    bitmap = np.zeros((height, width), np.bool_)
    if end > left and bottom > top:
        window = (int(top), int(left), int(bottom), int(end))
        inside = dense.map_in_photo(mask[None], size, preprocess, window)[0] >= _INSIDE
        bitmap[top:bottom, left:end] = inside.cpu().numpy()
    return rle.from_bitmap(bitmap)


TASK = DenseTask(
    name="instances",
    target_types=(Instances,),
    metrics=scores.METRICS,
    tie_breaker="map_50",
    defaults=defaults("val/map", batch_size=4, epochs=20),
    reporting=REPORTING,
    limits=Limits(),
    head_of=network.head_of,
    network=network.build,
    normalizer=lambda head, targets: None,
    classes=object_classes,
    encoder=partial(object_targets, masks=True),
    blank_targets=partial(blank_objects, masks=True),
    predict=predict,
    evidence=scores.evidence,
    validation=scores.validation,
    sections=SECTIONS,
    findings=FINDINGS,
    exporting=EXPORTING,
)
