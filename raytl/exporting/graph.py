"""From a saved model to an ONNX graph: uint8 pixels in, the outputs of the task out; normalization and temperature are inside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raytl.bundle.card import Input
from raytl.data.bit_depth import RGB
from raytl.data.transforms import Preprocess
from raytl.disk import disk_error
from raytl.errors import ModelError, first_line
from raytl.exporting.photo import with_photo_input
from raytl.exporting.quiet import quiet
from raytl.tasks.exporting import Exporting, exporting_of
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved

GRAPH, PROGRAM = "model.onnx", "model.pt2"
VIEWS, PHOTO = "views", "photo"
"""The names of the graph's input, for `crop` and for `photo`."""
OPSET = 20
_OPERATOR = re.compile(r"\b(?:aten|prims|torchvision|quantized|torchaudio|timm)(?:\.|::)[a-zA-Z_][\w.]*")
_ONE_VIEW = frozenset({"objects"})
"""The kinds of answers whose graph takes one view: the number of objects differs between views."""


class FromPixels(nn.Module):
    """A network of normalized views, fed with views `(n, height, width, 3) uint8`.

    The arithmetic is that of `raytl.models.forward.to_input`.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(preprocess.mean).mul(255).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(preprocess.std).mul(255).reciprocal().view(3, 1, 1))

    def forward(self, views: Tensor) -> Any:
        """Return the outputs of the task."""
        return self.network(views.permute(0, 3, 1, 2).to(torch.float32).sub(self.mean).mul(self.scale))


def exporting_for(saved: Saved) -> Exporting:
    """Return what exports the models of the task of `saved`.

    Raises:
        ModelError: nothing does, or the client of a bundle cannot decode the images of the model.
    """
    if kind := _only_here(saved.card.preprocess):
        raise ModelError(
            f"{saved.card.model}: models of {kind} cannot be exported, as the client of a bundle decodes photos of RGB with 8 or "
            "16 bits alone. Use `raytl predict` on the run"
        )
    exporting = exporting_of(saved.task)
    if exporting is None:
        raise ModelError(
            f"{saved.card.model}: models of the task {saved.task.name} cannot be exported; expected a task with a graph. Use "
            "`raytl predict` on the run"
        )
    return exporting


def _only_here(preprocess: Preprocess) -> str:
    """Return the kind of images that only raytl decodes; empty for photos."""
    if preprocess.channels != RGB:
        return f"{preprocess.channels} channels"
    if preprocess.bit_depth.ranges:
        return "floats with a range"
    return "DICOM with a window (data.window)" if preprocess.bit_depth.window else ""


def module_of(saved: Saved, limits: Limits | None = None, *, is_single: bool = False) -> tuple[nn.Module, Tensor]:
    """Return the module from views `(n, h, w, 3) uint8` to the outputs of the task, and views to trace it with: two where the
    graph takes any number of them, else one. `limits` are those of objects, by default those of scores."""
    exporting = exporting_for(saved)
    network = exporting.graph(saved, limits or saved.task.limits or Limits())
    count = 1 if is_single or exporting.kind in _ONE_VIEW else 2
    views = torch.zeros(count, *saved.card.preprocess.view_size, 3, dtype=torch.uint8)
    return FromPixels(network, saved.card.preprocess).eval(), views


def export_program(
    saved: Saved, limits: Limits | None = None, *, is_single: bool = False
) -> torch.export.ExportedProgram:
    """Return the network as an exported program of torch, from views to the outputs of the task. With `is_single`, it takes one
    view, which takes less than half the time to export: no size is symbolic.

    Raises:
        ModelError: the network cannot be exported; the error names the operator where torch does.
    """
    module, views = module_of(saved, limits, is_single=is_single)
    shapes = ({0: torch.export.Dim("n", min=1, max=4096)},) if len(views) > 1 else None
    try:
        with quiet(), torch.inference_mode():
            return torch.export.export(module, (views,), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch raises errors of many kinds
        raise _cannot(saved, error) from error


def export_graph(saved: Saved, input: Input, folder: Path, limits: Limits | None = None) -> Path:
    """Write the ONNX graph of `saved` as `model.onnx` into `folder`, and return its path.

    With `input: crop`, it takes views `(n, height, width, 3) uint8`, of objects one view; with `photo`, one upright photo
    `(1, height, width, 3) uint8` of any size. `limits` are those of objects, by default those of scores.

    Raises:
        ModelError: the network cannot be exported, or its resizing has no counterpart in ONNX.
        DiskError: the disk is full.
    """
    path = folder / GRAPH
    program = export_program(saved, limits, is_single=input == "photo")
    names = list(exporting_for(saved).outputs)
    try:
        with quiet(), torch.inference_mode():
            exported = torch.onnx.export(
                program, (), dynamo=True, opset_version=OPSET, input_names=[VIEWS], output_names=names, verbose=False
            )
            assert exported is not None, "with dynamo, a program is returned"
            exported.save(str(path))
    except Exception as error:
        if fault := disk_error(error, str(path)):
            raise fault from error
        raise _cannot(saved, error) from error
    if input == "photo":
        with_photo_input(path, saved.card.preprocess)
    return path


def export_torch(saved: Saved, folder: Path, limits: Limits | None = None) -> Path:
    """Write the network as `model.pt2` of `torch.export` into `folder`, from views as in `export_graph`; return its path.

    Raises:
        ModelError: the network cannot be exported.
        DiskError: the disk is full.
    """
    path, program = folder / PROGRAM, export_program(saved, limits)
    try:
        with quiet():
            torch.export.save(program, path)
    except Exception as error:
        if fault := disk_error(error, str(path)):
            raise fault from error
        raise _cannot(saved, error) from error
    return path


def _cannot(saved: Saved, error: Exception) -> ModelError:
    """Return the error of a network that cannot be exported: its operator, or the first line of torch's reason."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)  # type: ignore[arg-type]
    operator = next((match for each in reversed(causes) if (match := _OPERATOR.search(str(each)))), None)
    reason = f"its operator {operator.group(0)}" if operator else first_line(causes[-1])
    return ModelError(
        f"{saved.card.model} cannot be exported: {reason}; expected operators of ONNX opset {OPSET}. Use `raytl predict` on the "
        "run, or train another model"
    )
