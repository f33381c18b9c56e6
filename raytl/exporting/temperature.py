"""Change the temperature of a finished graph: int8 changes the logits, so the fitted temperature of the saved model no longer fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from raytl.errors import ModelError
from raytl.exporting.quiet import quiet

PROBABILITIES = "probabilities"
_LAST_OPERATIONS = frozenset({"Softmax", "SoftMax", "Sigmoid"})


def scale_temperature(path: Path, factor: float) -> None:
    """Multiply the temperature of the ONNX or OpenVINO graph at `path` by `factor`: divide the logits before its softmax or
    sigmoid once more.

    Raises:
        ModelError: the graph has neither at its end.
    """
    if path.suffix == ".onnx":
        _scale_onnx(path, factor)
    else:
        _scale_openvino(path, factor)


def _scale_onnx(path: Path, factor: float) -> None:
    import onnx

    model = onnx.load(str(path))
    nodes = list(model.graph.node)
    place = next((i for i, node in enumerate(nodes) if PROBABILITIES in node.output), None)
    if place is None or nodes[place].op_type not in _LAST_OPERATIONS:
        raise _no_temperature(path)
    last = nodes[place]
    value = onnx.numpy_helper.from_array(np.array(factor, np.float32), "raytl/temperature_factor")
    divided = onnx.helper.make_node(
        "Div", [last.input[0], value.name], ["raytl/scaled_logits"], name="raytl/scale_logits"
    )
    last.input[0] = divided.output[0]
    model.graph.initializer.append(value)
    model.graph.node.insert(place, divided)
    onnx.save(model, str(path))


def _scale_openvino(path: Path, factor: float) -> None:
    import openvino
    from openvino import opset13

    with quiet():
        model = openvino.Core().read_model(path)
        output = next((each for each in model.outputs if PROBABILITIES in each.get_names()), None)
        node = None if output is None else output.get_node().input_value(0).get_node()
        if node is None or node.get_type_name() not in _LAST_OPERATIONS:
            raise _no_temperature(path)
        divided = opset13.divide(node.input_value(0), opset13.constant(np.array(factor, np.float32)))
        node.input(0).replace_source_output(divided.output(0))
        part = path.with_name(f"scaled-{path.name}")  # the weights of the open model are mapped from its file
        openvino.save_model(model, str(part), compress_to_fp16=False)
        del model, output, node, divided
    for suffix in (".bin", ".xml"):
        part.with_suffix(suffix).replace(path.with_suffix(suffix))


def _no_temperature(path: Path) -> ModelError:
    return ModelError(
        f"{path.name}: its answers do not end in a softmax or sigmoid; expected one, whose temperature is fitted again. Export in fp32"
    )
