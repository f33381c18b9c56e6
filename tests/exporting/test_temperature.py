"""The temperature of finished graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest

from raytl.errors import ModelError
from raytl.exporting.temperature import scale_temperature
from tests.bundle.tiny import color_graph

PIXELS = np.array([[[[200, 40, 90]]]], np.uint8)


def onnx_answer(path: Path) -> np.ndarray:
    """The probabilities of a color."""
    return np.asarray(onnxruntime.InferenceSession(str(path)).run(["probabilities"], {"pixels": PIXELS})[0])


def openvino_answer(path: Path) -> np.ndarray:
    """The probabilities of a color."""
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled([PIXELS])[0])


def hotter(probabilities: np.ndarray, factor: float) -> np.ndarray:
    scaled = probabilities ** (1 / factor)
    return np.asarray(scaled / scaled.sum())


def test_the_logits_of_onnx_are_divided_once_more(tmp_path: Path) -> None:
    color_graph(path := tmp_path / "model.onnx")
    before = onnx_answer(path)
    scale_temperature(path, 2.5)
    onnx.checker.check_model(str(path))
    assert onnx_answer(path) == pytest.approx(hotter(before, 2.5), abs=1e-6)


def test_the_logits_of_openvino_are_divided_once_more(tmp_path: Path) -> None:
    color_graph(tmp_path / "model.onnx")
    path = tmp_path / "model.xml"
    openvino.save_model(openvino.Core().read_model(tmp_path / "model.onnx"), str(path), compress_to_fp16=False)
    before = openvino_answer(path)
    scale_temperature(path, 0.5)
    assert openvino_answer(path) == pytest.approx(hotter(before, 0.5), abs=1e-5)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.bin", "model.onnx", "model.xml"]


def test_a_graph_without_a_softmax_is_refused(tmp_path: Path) -> None:
    color_graph(path := tmp_path / "model.onnx")
    model = onnx.load(str(path))
    model.graph.node[-1].op_type = "LogSoftmax"
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match=r"model.onnx: its answers do not end in a softmax.*Export in fp32"):
        scale_temperature(path, 2.0)
