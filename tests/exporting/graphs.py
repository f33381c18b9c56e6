"""Small ONNX graphs as `raytl export` writes them: pixels in, preprocessing, a network, temperature and softmax, probabilities out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from raytl.bundle.card import entry_of, read_bundle
from tests.bundle.tiny import tiny_bundle, write_card

PREPROCESSING = ("cast", "transpose", "scale")
HEAD = ("temper", "softmax")


def convolutions(path: Path, channels: int = 8) -> Path:
    """Write a graph of two convolutions, a pool and a head; return its path."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(size=(channels, 3, 3, 3)) / 4,
        "w2": rng.normal(size=(channels, channels, 3, 3)) / 8,
        "w3": rng.normal(size=(channels, 3)),
        "inverse": np.array(1 / 255),
        "temperature": np.array(0.5),
    }
    nodes = [
        ("Cast", "cast", ["pixels"], {"to": TensorProto.FLOAT}),
        ("Transpose", "transpose", ["cast"], {"perm": [0, 3, 1, 2]}),
        ("Mul", "scale", ["transpose", "inverse"], {}),
        ("Conv", "conv1", ["scale", "w1"], {"strides": [2, 2]}),
        ("Relu", "relu1", ["conv1"], {}),
        ("Conv", "conv2", ["relu1", "w2"], {"strides": [2, 2]}),
        ("Relu", "relu2", ["conv2"], {}),
        ("GlobalAveragePool", "pool", ["relu2"], {}),
        ("Flatten", "flatten", ["pool"], {}),
        ("Gemm", "head", ["flatten", "w3"], {}),
        ("Div", "temper", ["head", "temperature"], {}),
        ("Softmax", "softmax", ["temper"], {"axis": -1}),
    ]
    return _saved(path, nodes, weights)


def attention(path: Path) -> Path:
    """Write a graph of one attention block without values of their own, and a head; return its path."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape) for name, shape in (("wq", (3, 8)), ("wk", (3, 8)), ("wo", (3, 3)))}
    nodes = [
        ("Cast", "cast", ["pixels"], {"to": TensorProto.FLOAT}),
        ("Mul", "scale", ["cast", "inverse"], {}),
        ("ReduceMean", "rows", ["scale", "axis"], {"keepdims": 0}),
        ("MatMul", "query", ["rows", "wq"], {}),
        ("MatMul", "key", ["rows", "wk"], {}),
        ("Transpose", "key_t", ["key"], {"perm": [0, 2, 1]}),
        ("MatMul", "scores", ["query", "key_t"], {}),
        ("Softmax", "attend", ["scores"], {"axis": -1}),
        ("MatMul", "mixed", ["attend", "rows"], {}),
        ("ReduceMean", "tokens", ["mixed", "axis"], {"keepdims": 0}),
        ("MatMul", "head", ["tokens", "wo"], {}),
        ("Softmax", "softmax", ["head"], {"axis": -1}),
    ]
    return _saved(path, nodes, weights | {"inverse": np.array(1 / 255)}, {"axis": np.array([1])})


def network_bundle(folder: Path, channels: int = 8) -> Path:
    """Write a crop bundle of `convolutions` into `folder`, and return it."""
    card = read_bundle(tiny_bundle(folder))
    convolutions(folder / "model.onnx", channels)
    write_card(folder, replace(card, files={"model.onnx": entry_of(folder / "model.onnx")}))
    return folder


def inputs(count: int = 8, side: int = 32) -> list[NDArray[np.uint8]]:
    """Return inputs of a graph, `(1, side, side, 3)` each."""
    return list(np.random.default_rng(1).integers(0, 256, (count, 1, side, side, 3), dtype=np.uint8))


def probabilities(graph: Path, *pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what ONNX Runtime or OpenVINO answers with the graph to each of the inputs, in one array."""
    if graph.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        return np.concatenate([np.asarray(session.run(None, {"pixels": each})[0]) for each in pixels])
    import openvino

    model = openvino.Core().compile_model(str(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([np.array(model(each)[0]) for each in pixels])


def _saved(
    path: Path,
    nodes: list[tuple[str, str, list[str], dict[str, object]]],
    weights: dict[str, NDArray[np.float64]],
    whole: dict[str, NDArray[np.int64]] | None = None,
) -> Path:
    made = [
        helper.make_node(kind, reads, ["probabilities" if name == "softmax" else name], name=name, **extra)
        for kind, name, reads, extra in nodes
    ]
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    constants += [numpy_helper.from_array(value, name) for name, value in (whole or {}).items()]
    graph = helper.make_graph(
        made,
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
