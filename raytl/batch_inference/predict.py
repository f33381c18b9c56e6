"""`predict`: the answers for any photos, as one value and file, or in parts below a prefix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raytl.batch_inference.places import PartOptions, is_parted
from raytl.config.machine import Machine

if TYPE_CHECKING:
    from raytl.batch_inference.result import BatchPredictions
    from raytl.tasks.reporting import TaskPredictions


def predict(
    run: str | os.PathLike[str],
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    format: str | None = None,
    parts: PartOptions | None = None,
    machine: Machine | None = None,
    **options: Any,
) -> TaskPredictions | BatchPredictions:
    """Return the predictions, written in parts where `is_parted` says so.

    `options` are those of `raytl.evaluation.predict.predict` and `raytl.batch_inference.driver.predict_in_parts`, which both have.

    Raises:
        RaytlError: as they do.
    """
    parts = parts or PartOptions()
    if is_parted(out, format, parts, machine or Machine()):
        from raytl.batch_inference.driver import predict_in_parts

        return predict_in_parts(run, inputs, out=out, parts=parts, machine=machine, **options)
    from raytl.evaluation.predict import predict as predict_at_once

    return predict_at_once(run, inputs, out=out, format=format, machine=machine, **options)
