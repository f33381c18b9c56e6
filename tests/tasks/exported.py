"""Small untrained networks, and what their exported graphs return in other runtimes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import ModelConfig
from raytl.models.card import Card
from raytl.models.predict_score import set_predict_score
from raytl.models.temperature import set_temperature
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.exporting import Exporting, exporting_of
from raytl.tasks.registry import task_named
from raytl.tasks.saved import Saved

CLASSES = ("a", "b", "c")
Outputs = dict[str, NDArray[Any]]


def untrained(task: str, head: str | None = None, name: str = "test_resnet", **preprocess: Any) -> Saved:
    """Return a model of random weights, its head included, with a temperature of 1.7 and the predict score 0.2."""
    chosen = task_named(task)
    values = {"name": name, "weights": "none", "preprocess": preprocess, "head": head}
    if head is not None:
        values["neck"] = {"channels": 32}
    torch.manual_seed(0)
    backbone = chosen.build(ModelConfig.model_validate(values), CLASSES, ENVIRONMENT)
    _randomize(backbone.module, backbone.head)
    if task in ("classification", "multilabel"):
        set_temperature(backbone.module, 1.7)
    set_predict_score(backbone.module, 0.2)
    card = Card(name, CLASSES, backbone.preprocess, backbone.weights_digest, task=task, head=head)
    return Saved(chosen, backbone.module.eval(), card, backbone)


@torch.no_grad()
def _randomize(module: nn.Module, head: tuple[str, ...]) -> None:
    """Set the tensors of the head that start at zero, so that answers differ between images and classes."""
    for name, tensor in module.named_parameters():
        if name in head and not bool(tensor.any()):
            tensor.normal_(0, 0.3)


def exporting(saved: Saved) -> Exporting:
    """Return what exports `saved`."""
    found = exporting_of(saved.task)
    assert found is not None
    return found


def views(saved: Saved, count: int) -> Tensor:
    """Return random normalized views `(count, 3, h, w)`."""
    return torch.randn(count, 3, *saved.card.preprocess.view_size, generator=torch.Generator().manual_seed(0))


def write_onnx(graph: nn.Module, example: Tensor, names: tuple[str, ...], path: Path) -> None:
    """Write the graph, whose batch is of any size if that of the example is above 1."""
    shapes = ({0: torch.export.Dim("batch")},) if len(example) > 1 else None
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            opset_version=20,
            input_names=["views"],
            output_names=list(names),
            dynamic_shapes=shapes,
            verbose=False,
        )
        assert program is not None
        program.save(str(path))


def in_onnx(path: Path, inputs: Tensor) -> Outputs:
    """Return the outputs of the graph in ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values = session.run(None, {"views": inputs.numpy()})
    return dict(zip([each.name for each in session.get_outputs()], map(np.asarray, values), strict=True))


def in_openvino(path: Path, inputs: Tensor) -> Outputs:
    """Return the outputs of the graph in OpenVINO, in single precision."""
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled([inputs.numpy()])
    return {port.any_name: np.array(results[port]) for port in compiled.outputs}
