"""int8: which operations stay in float, and what the quantized graphs are like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from raytl.exporting.quantize_onnx import quantize_onnx
from raytl.exporting.quantize_openvino import quantize_openvino
from raytl.exporting.quantize_scope import Operation, onnx_scope, openvino_scope, scope_of
from tests.exporting.graphs import HEAD, PREPROCESSING, attention, convolutions, inputs, probabilities


def test_preprocessing_and_the_head_of_a_graph_stay_in_float(tmp_path: Path) -> None:
    scope = onnx_scope(convolutions(tmp_path / "model.onnx"))
    assert set(scope.float_names) == {*PREPROCESSING, *HEAD}
    assert not scope.has_attention


def test_attention_is_a_product_of_activations(tmp_path: Path) -> None:
    scope = onnx_scope(attention(tmp_path / "model.onnx"))
    assert scope.has_attention
    assert set(scope.float_names) == {"cast", "scale", "rows", "softmax"}


def test_openvino_s_graph_has_the_same_scope(tmp_path: Path) -> None:
    import openvino

    def scope(graph: Path) -> set[str]:
        names = openvino_scope(openvino.Core().read_model(graph))
        assert names.has_attention == (graph.stem == "attention")
        return set(names.float_names)

    assert {*PREPROCESSING, "temper", "probabilities"} <= scope(convolutions(tmp_path / "network.onnx"))
    assert {"cast", "scale", "rows"} <= scope(attention(tmp_path / "attention.onnx"))


def test_a_layer_whose_weights_are_computed_from_constants_is_a_layer() -> None:
    graph = [
        Operation("pixels", "Parameter", ()),
        Operation("codes", "Constant", (), is_constant=True),
        Operation("weights", "Convert", ("codes",)),
        Operation("scaled", "Multiply", ("pixels", "codes")),
        Operation("product", "MatMul", ("scaled", "weights")),
        Operation("answer", "Softmax", ("product",)),
    ]
    scope = scope_of(graph, ["MatMul"])
    assert scope.float_names == ("pixels", "scaled", "answer") and not scope.has_attention


def test_a_run_of_three_training_images_is_quantized_too(tmp_path: Path) -> None:
    graph = convolutions(tmp_path / "model.onnx")
    assert quantize_onnx(graph, tmp_path / "int8.onnx", inputs(3)).is_file()


@pytest.mark.parametrize("reduced", [False, True])
def test_onnx_runtime_s_int8_answers_as_the_network_does(reduced: bool, tmp_path: Path) -> None:
    graph = convolutions(tmp_path / "model.onnx")
    out = quantize_onnx(graph, tmp_path / "int8.onnx", inputs(10), reduced_range=reduced)
    assert np.abs(probabilities(out, inputs()[0]) - probabilities(graph, inputs()[0])).max() < 0.05
    model = onnx.load(str(out))
    scales = {entry.name: entry.dims for entry in model.graph.initializer if entry.name.endswith("_scale")}
    assert [8] in [list(dims) for dims in scales.values()], "a scale for each channel"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.onnx", "model.onnx"]
    weights = [onnx.numpy_helper.to_array(e) for e in model.graph.initializer if e.data_type == onnx.TensorProto.INT8]
    assert any(values.size > 8 for values in weights)
    largest = max(int(np.abs(values.astype(int)).max()) for values in weights)
    assert largest <= 64 if reduced else 64 < largest <= 127


def test_weights_per_tensor_can_be_made_to_measure_them(tmp_path: Path) -> None:
    graph = convolutions(tmp_path / "model.onnx")
    out = quantize_onnx(graph, tmp_path / "int8.onnx", inputs(), per_channel=False, ranges="minmax")
    scales = [entry.dims for entry in onnx.load(str(out)).graph.initializer if entry.name.endswith("_scale")]
    assert all(list(dims) in ([], [1]) for dims in scales)


def test_openvino_s_int8_answers_as_the_network_does_and_is_smaller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = convolutions(tmp_path / "model.onnx", channels=64)
    out = quantize_openvino(graph, tmp_path / "int8.xml", inputs(10), reduced_range=True)
    assert np.abs(probabilities(out, inputs()[0]) - probabilities(graph, inputs()[0])).max() < 0.05
    assert out.with_suffix(".bin").stat().st_size < graph.stat().st_size / 3
    assert capsys.readouterr().out == ""


def test_attention_chooses_the_patterns_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nncf

    seen: list[object] = []
    quantize = nncf.quantize
    monkeypatch.setattr(nncf, "quantize", lambda *a, **k: (seen.append(k["model_type"]), quantize(*a, **k))[1])
    graph = attention(tmp_path / "model.onnx")
    quantize_openvino(graph, tmp_path / "int8.xml", inputs(2))
    quantize_openvino(graph, tmp_path / "default.xml", inputs(2), transformer=False)
    assert seen == [nncf.ModelType.TRANSFORMER, None]
