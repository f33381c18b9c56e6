"""The steps from a photo are put before a network whatever the names inside of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime

from raytl.data.transforms import Preprocess, eval_pixels, prepare
from raytl.exporting.photo import with_photo_input
from tests.exporting.test_photo import MEAN, STD, photo


def test_a_network_may_name_its_values_as_the_steps_do(tmp_path: Path) -> None:
    preprocess = Preprocess(48, 56, "center", "bilinear", MEAN, STD)
    text = """<ir_version: 10, opset_import: ["" : 20]> network (uint8[n, 48, 48, 3] views) => (float[n, 48, 48, 3] size) {
      view = Identity(views)
      size = Cast<to=1>(view)
    }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    with_photo_input(tmp_path / "model.onnx", preprocess)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["photo"]
    assert [each.name for each in session.get_outputs()] == ["size"]
    image = photo(97, 61)
    (values,) = session.run(None, {"photo": np.array(image)[None]})
    expected = eval_pixels(prepare(image, preprocess), preprocess)
    assert np.abs(np.asarray(values)[0] - expected).max() <= 2
