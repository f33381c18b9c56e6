"""The graph of an instance segmenter in other runtimes, and the way back from its outputs to masks in the photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved
from tests.tasks.exported import exporting, in_onnx, in_openvino, untrained, views, write_onnx

FEW = Limits(score=0.001, max_detections=20)


@pytest.fixture(scope="module")
def saved() -> Saved:
    return untrained("instances", "mask_rcnn", image_px=(96, 64))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "limits",
    [pytest.param(FEW, id="objects"), pytest.param(Limits(score=0.9999), id="none", marks=pytest.mark.lengthy)],
)
def test_other_runtimes_find_the_same_objects(saved: Saved, limits: Limits, tmp_path: Path) -> None:
    graph, names, path = exporting(saved).graph(saved, limits), exporting(saved).outputs, tmp_path / "model.onnx"
    write_onnx(graph, views(saved, 1), names, path)
    with torch.inference_mode():
        values = graph(views(saved, 1))
    expected = dict(zip(names, (value.numpy() for value in values), strict=True))
    assert len(expected["masks"]) == (20 if limits is FEW else 0)
    for outputs in (in_onnx(path, views(saved, 1)), in_openvino(path, views(saved, 1))):
        assert list(outputs) == ["boxes", "labels", "scores", "masks", "features"]
        for name, value in expected.items():
            np.testing.assert_allclose(outputs[name], value, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("size", [(301, 170), (50, 90)])
def test_answers_are_those_of_the_task(saved: Saved, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        (own,) = saved.task.predict(saved.module, views(saved, 1), [size], saved.card.preprocess, FEW)
        values = exporting(saved).graph(saved, FEW)(views(saved, 1))
    outputs = dict(zip(exporting(saved).outputs, (value.numpy() for value in values), strict=True))
    (found,) = exporting(saved).answers([outputs], [size], saved)
    np.testing.assert_array_equal(found.boxes, own.boxes)
    np.testing.assert_array_equal(found.labels, own.labels)
    np.testing.assert_array_equal(found.scores, own.scores)
    assert found.counts == own.counts and len(set(own.counts)) > 5, "masks of several shapes are compared"
    assert found.size == own.size and found.predict_score == own.predict_score
