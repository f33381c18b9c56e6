"""`raytl.export`: a trained model as a bundle that runs without torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from raytl.api.run import machine_of
from raytl.cli.watch import watched
from raytl.config.machine import Machine
from raytl.events import Message, OnEvent
from raytl.metrics.aim import texts

if TYPE_CHECKING:
    from raytl.exporting.driver import Exported


def export(
    run: str | os.PathLike[str],
    to: Literal["onnx", "openvino", "torch"] = "onnx",
    *,
    input: Literal["photo", "crop"] | None = None,
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    max_drop: float = 0.5,
    require: str | None = None,
    recall: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    machine: Machine | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Exported:
    """Return the model of a run or version, written as a bundle once it is shown to answer as the trained model does.

    `to` is the runtime, and `input` says whether the graph takes whole photos or views that the client makes (by default photos
    for `onnx`). In `fp32`, its answers to the validation images must be those of the model; in `bf16` and `int8`, a loss of more
    than `max_drop` points must be excluded. `require` and `recall` are aims that `raytl report` certifies: the bundle abstains and
    counts classes so that they are kept. It is written to `out`, by default into `bundles/` of the run or beside the version.

    Raises:
        UserError: options that cannot take effect, or there is such a bundle and `force` is false.
        RunError: no such run, not finished, or without validation images.
        ModelError: the network cannot be exported, or a runtime is not installed.
        ParityFailed: the bundle does not answer as the model; nothing was written, and `parity` has the comparison.
    """
    from raytl.exporting import driver

    options = driver.ExportOptions(to, precision, input, max_drop, require, texts(recall))
    with watched(progress, on_event) as emit:
        result = driver.export(run, options, out=out, force=force, machine=machine or machine_of(run), on_event=emit)
        for text in result.warnings:
            emit(Message(text, "warning"))
    return result
