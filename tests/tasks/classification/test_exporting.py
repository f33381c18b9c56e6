"""The graph of a classifier in other runtimes, and the way back from its outputs to logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.errors import ModelError
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved
from raytl.tasks.watched import FeatureWatch
from tests.tasks.exported import exporting, in_onnx, in_openvino, untrained, views, write_onnx


@pytest.fixture(scope="module")
def saved() -> Saved:
    return untrained("classification", image_px=32)


@pytest.mark.thorough
def test_other_runtimes_return_the_probabilities_and_features_of_the_network(saved: Saved, tmp_path: Path) -> None:
    graph, names, path = exporting(saved).graph(saved, Limits()), exporting(saved).outputs, tmp_path / "model.onnx"
    write_onnx(graph, views(saved, 2), names, path)
    inputs = views(saved, 3)
    with torch.inference_mode():
        expected = dict(zip(names, (value.numpy() for value in graph(inputs)), strict=True))
    for outputs in (in_onnx(path, inputs), in_openvino(path, inputs)):
        assert list(outputs) == ["probabilities", "features"]
        for name, value in expected.items():
            np.testing.assert_allclose(outputs[name], value, atol=1e-4)


def test_the_graph_has_the_temperature_and_the_features_that_the_head_sees(saved: Saved) -> None:
    inputs, watch = views(saved, 2), FeatureWatch(saved)
    with torch.inference_mode():
        probabilities, features = exporting(saved).graph(saved, Limits())(inputs)
        expected = (saved.module(inputs) / 1.7).softmax(dim=1)
    torch.testing.assert_close(probabilities, expected)
    torch.testing.assert_close(features, watch.features())
    assert float(probabilities.std()) > 0.01, "otherwise nothing is compared"


def test_answers_are_the_logits_of_the_task_but_for_a_constant(saved: Saved) -> None:
    inputs = views(saved, 2)
    with torch.inference_mode():
        probabilities, features = exporting(saved).graph(saved, Limits())(inputs)
        own = saved.task.predict(saved.module, inputs, [(32, 32)] * 2, saved.card.preprocess, Limits())
    outputs = [
        {"probabilities": row[None].numpy(), "features": vector[None].numpy()}
        for row, vector in zip(probabilities, features, strict=True)
    ]
    answers = exporting(saved).answers(outputs, [(32, 32)] * 2, saved)
    for found, expected in zip(answers, own, strict=True):
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_allclose(found - found.max(), expected - expected.max(), atol=1e-5)


def test_a_probability_of_zero_has_a_finite_logit(saved: Saved) -> None:
    (answer,) = exporting(saved).answers([{"probabilities": np.array([[1, 0, 0]], np.float32)}], [(32, 32)], saved)
    assert np.isfinite(answer).all() and answer.argmax() == 0


def test_a_network_without_a_linear_head_cannot_be_exported() -> None:
    saved = untrained("classification", image_px=32)
    bare = replace(saved, backbone=replace(saved.backbone, head=()))
    with pytest.raises(ModelError, match="test_resnet.* cannot be exported: its head has no linear layer"):
        exporting(bare).graph(bare, Limits())
