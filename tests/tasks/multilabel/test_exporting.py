"""The graph of a multi-label classifier in other runtimes, and the way back from its outputs to its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.tasks.inference import set_buffers
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved
from tests.tasks.exported import exporting, in_onnx, in_openvino, untrained, views, write_onnx

THRESHOLDS = np.array([0.25, 0.5, 0.75], np.float32)


@pytest.fixture(scope="module")
def saved() -> Saved:
    model = untrained("multilabel", image_px=32)
    set_buffers(model.module, {"thresholds": THRESHOLDS})
    return model


@pytest.mark.thorough
def test_other_runtimes_return_the_probabilities_and_features_of_the_network(saved: Saved, tmp_path: Path) -> None:
    graph, names, path = exporting(saved).graph(saved, Limits()), exporting(saved).outputs, tmp_path / "model.onnx"
    write_onnx(graph, views(saved, 2), names, path)
    inputs = views(saved, 3)
    with torch.inference_mode():
        expected = [value.numpy() for value in graph(inputs)]
        np.testing.assert_allclose(expected[0], (saved.module(inputs) / 1.7).sigmoid().numpy(), atol=1e-6)
    for outputs in (in_onnx(path, inputs), in_openvino(path, inputs)):
        for found, value in zip(outputs.values(), expected, strict=True):
            np.testing.assert_allclose(found, value, atol=1e-4)


def test_answers_are_those_of_the_task(saved: Saved) -> None:
    inputs = views(saved, 2)
    with torch.inference_mode():
        probabilities, _ = exporting(saved).graph(saved, Limits())(inputs)
        own = saved.task.predict(saved.module, inputs, [(32, 32)] * 2, saved.card.preprocess, Limits())
    outputs = [{"probabilities": row[None].numpy()} for row in probabilities]
    for found, expected in zip(exporting(saved).answers(outputs, [(32, 32)] * 2, saved), own, strict=True):
        np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
        np.testing.assert_array_equal(found.thresholds, expected.thresholds)


def test_thresholds_are_for_the_card_and_not_in_the_graph(saved: Saved) -> None:
    assert exporting(saved).label_thresholds(saved) == (0.25, 0.5, 0.75)


def test_probabilities_of_zero_and_one_have_finite_logits(saved: Saved) -> None:
    (answer,) = exporting(saved).answers([{"probabilities": np.array([[0, 0.5, 1]], np.float32)}], [(32, 32)], saved)
    assert np.isfinite(answer.logits).all() and (np.diff(answer.logits) > 10).all()
