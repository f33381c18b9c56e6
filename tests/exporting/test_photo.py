"""The view that ONNX Runtime makes of a photo, compared with that of raytl."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from raytl.data.transforms import Preprocess, eval_pixels, prepare
from raytl.errors import ModelError
from raytl.exporting.photo import photo_graph

MEAN, STD = (0.485, 0.456, 0.406), (0.2, 0.2, 0.2)
SIZES = [(64, 64), (97, 61), (61, 97), (300, 20), (20, 300), (640, 480), (31, 33), (7, 1), (225, 450), (1, 1)]
"""Widths and heights."""
CASES = [
    Preprocess(48, 56, "center", "bicubic", MEAN, STD),
    Preprocess(49, 49, "center", "bilinear", MEAN, STD),
    Preprocess(64, 48, "center", "bicubic", MEAN, STD),
    Preprocess(64, 64, "center", "bilinear", MEAN, STD).fit((64, 48)),
    Preprocess(64, 64, "center", "bicubic", MEAN, STD).fit((40, 64)),
]


def photo(width: int, height: int) -> Image.Image:
    """A photo with edges and gradients, always the same."""
    draw = np.random.default_rng(width * 1000 + height)
    small = draw.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def differences(preprocess: Preprocess) -> NDArray[np.int16]:
    """The difference of every value of the views of photos of `SIZES`."""
    model = photo_graph(preprocess)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    parts = []
    for size in SIZES:
        image = photo(*size)
        expected = eval_pixels(prepare(image, preprocess), preprocess)
        (found,) = session.run(None, {"photo": np.array(image)[None]})
        assert found.shape == (1, *expected.shape), size
        parts.append(np.abs(found[0].astype(np.int16) - expected.astype(np.int16)).ravel())
    return np.concatenate(parts)


@pytest.mark.parametrize("preprocess", CASES, ids=lambda each: f"{each.crop_mode}-{each.interpolation}-{each.image_px}")
def test_the_view_of_a_photo_is_that_of_raytl_to_one_level_in_half_a_percent(preprocess: Preprocess) -> None:
    levels = differences(preprocess)
    assert levels.max() <= 2
    assert (levels > 0).mean() < 0.005


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_view_of_a_squashed_photo_is_that_of_raytl_to_three_levels(interpolation: str) -> None:
    assert differences(Preprocess(48, 56, "squash", interpolation, MEAN, STD)).max() <= 3


def test_an_interpolation_that_onnx_lacks_is_refused_with_what_to_do() -> None:
    with pytest.raises(ModelError, match="no antialiased lanczos.*Use --input crop"):
        photo_graph(Preprocess(48, 56, "center", "lanczos", MEAN, STD))
