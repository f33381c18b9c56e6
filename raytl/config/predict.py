"""The predict section of the experiment file: the objects that predictions report."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pydantic import Field

from raytl.config.section import Section


class PredictConfig(Section):
    """The objects that `raytl predict` reports, of tasks that find objects. Average precision and recall do not depend on it: they
    follow COCO's rules."""

    score: Annotated[float, Field(ge=0, lt=1)] | Literal["auto"] = "auto"
    """The lowest score of a reported object. auto = the one with the highest F1 over all objects of the validation split; it is saved with the model, and confusions, the F1 of images and `raytl report` use it too."""
    nms_iou: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Overlap (intersection over union) of two boxes of a class above which the one with the lower score is dropped."""
    max_detections: Annotated[int, Field(ge=1, le=1000)] = 100
    """Objects per image at most, those with the highest scores."""


class PredictOptions(TypedDict, total=False):
    """Keys of `PredictConfig` in place of those of the run; None leaves a key as it is."""

    score: float | None
    nms_iou: float | None
    max_detections: int | None
