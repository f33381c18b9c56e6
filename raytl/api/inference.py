"""The verbs that use a trained model: answers, explanations, and the model in memory. Each returns a value."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raytl.api.run import machine_of
from raytl.batch_inference.places import PartOptions
from raytl.cli.watch import watched
from raytl.config.machine import Machine
from raytl.events import OnEvent

if TYPE_CHECKING:
    from raytl.evaluation.explanation.record import Explanations
    from raytl.evaluation.predictor import Predictor


def predict(
    run: str | os.PathLike[str],
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    format: str | None = None,
    score: float | None = None,
    nms_iou: float | None = None,
    max_detections: int | None = None,
    require: str | None = None,
    recall: Sequence[str] = (),
    uncertainty: bool = False,
    batch_size: int | None = None,
    workers: int | None = None,
    part_size: int | None = None,
    new: bool = False,
    device: str | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Any:
    """Return the answers of a model for photos, and write them to `out` if given, in `format` or that of its ending.

    A classifier answers with a `raytl.Predictions`, a table of classes and probabilities (.csv or .parquet). `inputs` are
    folders, manifests, files, or `s3://` URIs of those. Photos that cannot be read are listed in `unreadable` and skipped.
    Of a model for objects, `score`, `nms_iou` and `max_detections` limit those that are reported, as in the `predict`
    section of the experiment. `require` (`accuracy>=0.95`), `recall` (`["trash>=0.9"]`) and `uncertainty` add columns from the
    operating points that `raytl report` wrote. To predict several times, or images in memory, use `raytl.load`.

    With an `out` in a bucket, or a folder with a slash at its end, the photos are predicted in parts of `part_size` by `workers`
    actors of Ray, and a `raytl.BatchPredictions` says what was written; called again, it resumes, or with `new` starts anew.

    Raises:
        RunError, ModelError: there is no model in `run`.
        DataError: an input does not exist or holds no photos, or no photo could be read.
        UserError: `out` cannot be written, or was begun with other photos, another model or other options.
    """
    from raytl.batch_inference.predict import predict as predict_photos

    with watched(progress, on_event) as emit:
        return predict_photos(
            run,
            inputs,
            out=out,
            format=format,
            parts=PartOptions(workers, part_size, new),
            batch_size=batch_size,
            device=device,
            machine=machine or machine_of(run, workers or 1),
            on_event=emit,
            score=score,
            nms_iou=nms_iou,
            max_detections=max_detections,
            require=require,
            recall=recall,
            uncertainty=uncertainty,
        )


def explain(
    run: str | os.PathLike[str],
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    mistakes: bool = False,
    split: str | None = None,
    method: str = "auto",
    label: str | None = None,
    out: str | os.PathLike[str] = "explanations",
    batch_size: int | None = None,
    device: str | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Explanations:
    """Return where in photos a model finds the evidence for its answers; write pictures, a page and the numbers to `out`.

    `photos` are as in `predict`. With `mistakes` instead, they are the images of `split` (val by default) that the model gets
    wrong, and five right ones of each class; the test split is not opened, its mistakes are those of the last evaluation.
    `method` is cam (Grad-CAM), rollout (attention rollout), ig (integrated gradients) or occlusion; auto is the first of cam,
    rollout and occlusion that is valid for the network. `label` explains one class instead of the answers.

    Raises:
        RunError, ModelError: there is no model in `run`, or the method is not valid for it.
        DataError: an input does not exist or holds no photos, no photo could be read, or images of the split changed.
        UserError: an unknown class, a task without explanations, or a folder with other files.
    """
    from raytl.evaluation import explain as explaining

    with watched(progress, on_event) as emit:
        return explaining.explain(
            run,
            photos,
            mistakes=mistakes,
            split=split,
            method=method,
            label=label,
            out=out,
            batch_size=batch_size,
            device=device,
            machine=machine or machine_of(run),
            on_event=emit,
        )


def load(
    run: str | os.PathLike[str],
    *,
    score: float | None = None,
    nms_iou: float | None = None,
    max_detections: int | None = None,
    require: str | None = None,
    recall: Sequence[str] = (),
    uncertainty: bool = False,
    device: str | None = None,
    machine: Machine | None = None,
    on_event: OnEvent | None = None,
) -> Predictor:
    """Load the best checkpoint of `run` into memory, ready to predict.

    `run` is a `Run`, the folder or `s3://` URI of one, a saved model's folder, or a version such as
    `models:trash@champion`. `machine` says how buckets are reached: by default as the experiment of a `Run` says. Of a
    model for objects, `score`, `nms_iou` and `max_detections` replace those of the run's `predict` section.
    `require`, `recall` and `uncertainty` make its predictions say `answered`, `set` and `unfamiliar`, from the operating points
    that `raytl report` wrote.

    Raises:
        RunError, ModelError: there is no model in `run`.
        RegistryError: there is no such version.
    """
    from raytl.evaluation import predictor

    settings = machine or machine_of(run)
    with watched(on_event is None, on_event) as emit:
        return predictor.load(
            run,
            device=device,
            machine=settings,
            on_event=emit,
            score=score,
            nms_iou=nms_iou,
            max_detections=max_detections,
            require=require,
            recall=recall,
            uncertainty=uncertainty,
        )
