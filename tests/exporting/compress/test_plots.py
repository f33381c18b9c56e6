"""The plot of the frontier."""

from __future__ import annotations

import io

from PIL import Image

from raytl.exporting.compress.outcome import Outcome
from raytl.exporting.compress.plots import draw_frontier
from tests.exporting.compress.outcomes import compression, outcome


def test_the_frontier_is_drawn_with_all_that_was_measured() -> None:
    result = compression(
        outcome("onnx-fp32", 0.91, 8, 9),
        outcome("openvino-int8", 0.905, 4, 3),
        outcome("onnx-int8", 0.80, 5, 3, "rejected"),
        Outcome("openvino-bf16", "skipped", "no bf16"),
        best="openvino-int8",
    )
    image = Image.open(io.BytesIO(draw_frontier(result)))
    assert image.size[0] > 600 and len(image.convert("RGB").getcolors(1 << 20) or []) > 10


def test_a_search_without_measurements_has_an_empty_chart() -> None:
    assert draw_frontier(compression(target_ms=None)).startswith(b"\x89PNG")
