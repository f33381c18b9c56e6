"""The graph of a segmenter in other runtimes, and the way back from its outputs to the class map of the photo."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.bundle.client import map_in_photo
from raytl.data.transforms import Preprocess
from raytl.tasks import dense
from raytl.tasks.objects import Limits
from tests.tasks.exported import exporting, in_onnx, in_openvino, untrained, views, write_onnx

HEADS = ["fpn", "deeplabv3plus"]


@pytest.mark.thorough
@pytest.mark.parametrize("head", HEADS)
def test_other_runtimes_return_the_logits_of_the_view(head: str, tmp_path: Path) -> None:
    saved, path = untrained("segmentation", head, image_px=(96, 64)), tmp_path / "model.onnx"
    graph, names = exporting(saved).graph(saved, Limits()), exporting(saved).outputs
    write_onnx(graph, views(saved, 2), names, path)
    inputs = views(saved, 3)
    with torch.inference_mode():
        expected = dict(zip(names, (value.numpy() for value in graph(inputs)), strict=True))
    assert expected["logits"].shape == (3, 3, 64, 96)
    for outputs in (in_onnx(path, inputs), in_openvino(path, inputs)):
        for name, value in expected.items():
            np.testing.assert_allclose(outputs[name], value, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("size", [(301, 170), (60, 180), (1, 1)])
def test_answers_are_those_of_the_task(head: str, size: tuple[int, int]) -> None:
    saved = untrained("segmentation", head, image_px=(96, 64))
    with torch.inference_mode():
        (own,) = saved.task.predict(saved.module, views(saved, 1), [size], saved.card.preprocess, Limits())
        logits, features = exporting(saved).graph(saved, Limits())(views(saved, 1))
    (found,) = exporting(saved).answers([{"logits": logits.numpy(), "features": features.numpy()}], [size], saved)
    assert found.shape == own.shape == (size[1], size[0]) and found.dtype == own.dtype
    assert float((found == own).mean()) > 0.9999


@pytest.mark.parametrize("size", [(301, 170), (60, 180), (2, 1000), (96, 64)])
def test_maps_are_interpolated_as_in_training(size: tuple[int, int]) -> None:
    preprocess = Preprocess(96, 96, "center", "bilinear", (0.5,) * 3, (0.5,) * 3).fit((96, 64))
    width, height = size
    for cells in ((64, 96), (16, 24)):
        values = torch.randn(2, *cells, generator=torch.Generator().manual_seed(0))
        for window in ((0, 0, height, width), (height // 3, width // 2, height, width)):
            expected = dense.map_in_photo(values, size, preprocess, window).numpy()
            found = map_in_photo(values.numpy(), size, asdict(preprocess), window)
            np.testing.assert_allclose(found, expected, atol=2e-4)
