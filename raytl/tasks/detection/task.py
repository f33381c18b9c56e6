"""Object detection, composed of functions."""

from __future__ import annotations

from torch import Tensor, nn

from raytl.data.targets import Boxes, Instances
from raytl.data.transforms import Preprocess
from raytl.models.predict_score import predict_score_of
from raytl.tasks import dense
from raytl.tasks.dense_task import DenseTask, Sizes, defaults
from raytl.tasks.detection import network, scores
from raytl.tasks.detection.answer import Detections
from raytl.tasks.detection.exporting import EXPORTING
from raytl.tasks.detection.findings import FINDINGS, SECTIONS
from raytl.tasks.detection.reporting import REPORTING
from raytl.tasks.object_batches import blank_objects, object_classes, object_targets
from raytl.tasks.objects import Limits


def predict(
    module: nn.Module, inputs: Tensor, sizes: Sizes, preprocess: Preprocess, limits: Limits
) -> list[Detections]:
    """Return the objects of each image."""
    views = module(inputs).decode(limits)
    return [
        Detections(
            dense.boxes_in_photo(view.boxes.cpu().numpy(), size, preprocess),
            view.scores.cpu().numpy(),
            view.labels.cpu().numpy(),
            predict_score=predict_score_of(module),
        )
        for view, size in zip(views, sizes, strict=True)
    ]


TASK = DenseTask(
    name="detection",
    target_types=(Boxes, Instances),
    metrics=scores.METRICS,
    tie_breaker="map_50",
    defaults=defaults("val/map"),
    reporting=REPORTING,
    limits=Limits(),
    head_of=network.head_of,
    network=network.build,
    normalizer=network.normalizer,
    classes=object_classes,
    encoder=object_targets,
    blank_targets=blank_objects,
    predict=predict,
    evidence=scores.evidence,
    validation=scores.validation,
    sections=SECTIONS,
    findings=FINDINGS,
    exporting=EXPORTING,
)
