"""The graphs of detectors in other runtimes, and the way back from their outputs to boxes in the photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from raytl.tasks.detection.suppression import suppressed
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved
from raytl.tasks.watched import FeatureWatch
from tests.tasks.exported import Outputs, exporting, in_onnx, in_openvino, untrained, views, write_onnx

FEW = Limits(score=0.001, max_detections=30)
HEADS = ["fcos", "retinanet", "faster_rcnn"]


def detector(head: str) -> Saved:
    return untrained("detection", head, image_px=(96, 64))


def outputs_of(saved: Saved, inputs: Tensor, limits: Limits = FEW) -> Outputs:
    with torch.inference_mode():
        values = exporting(saved).graph(saved, limits)(inputs)
    return dict(zip(exporting(saved).outputs, (value.numpy() for value in values), strict=True))


@pytest.mark.parametrize(
    "head",
    [pytest.param(head, marks=[pytest.mark.thorough] + [pytest.mark.lengthy] * (head != HEADS[0])) for head in HEADS],
)
def test_other_runtimes_find_the_same_objects(head: str, tmp_path: Path) -> None:
    saved, path = detector(head), tmp_path / "model.onnx"
    write_onnx(exporting(saved).graph(saved, FEW), views(saved, 1), exporting(saved).outputs, path)
    for scale in (1.0, 3.0):
        inputs = views(saved, 1) * scale
        expected = outputs_of(saved, inputs)
        assert len(expected["scores"]) > 5, "otherwise nothing is compared"
        for outputs in (in_onnx(path, inputs), in_openvino(path, inputs)):
            np.testing.assert_allclose(outputs["scores"], expected["scores"], atol=1e-4)
            np.testing.assert_allclose(outputs["features"], expected["features"], atol=1e-4)
            assert matches(outputs, expected) >= len(expected["scores"]) - 1, "nearly equal scores may change places"


def matches(outputs: Outputs, expected: Outputs) -> int:
    """Return how many objects have an equal one in the other list."""
    found = [(label, *box) for label, box in zip(outputs["labels"], outputs["boxes"], strict=True)]
    other = np.array([(label, *box) for label, box in zip(expected["labels"], expected["boxes"], strict=True)])
    return sum(bool((np.abs(other - np.array(row)).max(axis=1) < 1e-2).any()) for row in found)


@pytest.mark.thorough  # with proposals: tests/tasks/instances
def test_a_view_without_objects_has_none_in_other_runtimes_either(tmp_path: Path) -> None:
    saved, path, none = detector("fcos"), tmp_path / "model.onnx", Limits(score=0.9999)
    write_onnx(exporting(saved).graph(saved, none), views(saved, 1), exporting(saved).outputs, path)
    for outputs in (in_onnx(path, views(saved, 1)), in_openvino(path, views(saved, 1))):
        assert outputs["boxes"].shape == (0, 4) and len(outputs["scores"]) == len(outputs["labels"]) == 0


@pytest.mark.parametrize("head", HEADS)
def test_answers_are_those_of_the_task(head: str) -> None:
    saved, size = detector(head), (301, 170)
    inputs = views(saved, 1)
    with torch.inference_mode():
        (own,) = saved.task.predict(saved.module, inputs, [size], saved.card.preprocess, FEW)
    (found,) = exporting(saved).answers([outputs_of(saved, inputs)], [size], saved)
    assert len(own) > 5 and found.predict_score == own.predict_score == 0.2
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(own, name))
        assert getattr(found, name).dtype == getattr(own, name).dtype


def test_the_graph_has_the_features_that_are_watched() -> None:
    saved = detector("fcos")
    watch = FeatureWatch(saved)
    outputs = outputs_of(saved, views(saved, 1))
    np.testing.assert_array_equal(outputs["features"], watch.features().numpy())


def test_the_suppression_of_a_graph_is_that_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    corners = torch.rand(300, 2, generator=draw) * 80
    boxes = torch.cat([corners, corners + 4 + torch.rand(300, 2, generator=draw) * 16], dim=1).clamp(max=96)
    scores, groups = torch.rand(300, generator=draw), torch.arange(300) % 3
    expected = batched_nms(boxes, scores, groups, 0.5)[:50]
    assert torch.equal(suppressed(boxes, scores, groups, 0.5, 50, 96), expected)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.equal(suppressed(boxes, scores, groups, 0.5, 50, 96), expected)
    assert len(suppressed(boxes[:0], scores[:0], groups[:0], 0.5, 50, 96)) == 0
