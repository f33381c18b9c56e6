from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from raytl.evaluation import findings as stored
from raytl.evaluation.pixels import arrays_of, pixels_of
from raytl.metrics.findings import Findings
from raytl.metrics.pixels import Pixels
from tests.tasks.segmentation.test_findings import CLASSES, made, scenes


@pytest.fixture(scope="module")
def findings() -> Findings:
    return made(*scenes())


@pytest.fixture
def pixels(findings: Findings) -> Pixels:
    assert findings.pixels is not None
    return findings.pixels


def test_pixels_are_stored_with_their_findings_and_read_back(findings: Findings, pixels: Pixels) -> None:
    result = stored.findings_of(stored.arrays_of(findings), 2, len(CLASSES))
    assert result is not None and result.pixels is not None
    for name in ("bins", "edges", "counts", "suspects"):
        np.testing.assert_array_equal(getattr(result.pixels, name), getattr(pixels, name))
    assert stored.findings_of(stored.arrays_of(replace(findings, pixels=None)), 2, len(CLASSES)).pixels is None  # type: ignore[union-attr]


def test_pixels_follow_the_order_of_the_images(findings: Findings, pixels: Pixels) -> None:
    turned = stored.in_order(findings, np.array([1, 0]))
    assert turned.pixels is not None
    np.testing.assert_array_equal(turned.pixels.bins, pixels.bins[::-1])
    assert turned.image[0] == 1 and turned.score.tolist() == findings.score.tolist()[::-1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"pixels.bins": None}, r"pixels.bins: found bool \(0,\); expected float64 \(2, 15, 3\)"),
        ({"pixels.edges": np.zeros((3, 4), np.int64)}, r"pixels.edges: found int64 \(3, 4\)"),
        ({"pixels.edges": np.full((2, 4), -1)}, "pixels.edges: found values out of bounds"),
        ({"pixels.bins": np.full((2, 15, 3), np.nan)}, "pixels.bins: found values out of bounds"),
        ({"pixels.suspects": np.full((2, 3, 8), 3, np.float32)}, "pixels.suspects: found values out of bounds"),
    ],
)
def test_damaged_pixels_are_an_error_that_names_the_array(
    findings: Findings, pixels: Pixels, changes: dict[str, Any], text: str
) -> None:
    arrays = {name: each for name, each in (arrays_of(pixels) | changes).items() if each is not None}
    with pytest.raises(ValueError, match=text):
        pixels_of(arrays, 2, len(CLASSES))
    whole = stored.arrays_of(replace(findings, pixels=None)) | arrays
    with pytest.raises(stored.WrongFindings, match=text):
        stored.findings_of(whole, 2, len(CLASSES))
