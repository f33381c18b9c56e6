"""Numbers of a report as text."""

from __future__ import annotations

import pytest

from raytl.assessment.texts import bounds, confidence_text, searched_text
from raytl.metrics.intervals import Interval


@pytest.mark.parametrize(
    ("value", "text"), [(0.73106, "0.731"), (0.99966, "0.9997"), (0.99999, "0.99999"), (1.0, "1"), (0.0, "0")]
)
def test_a_confidence_below_1_does_not_read_as_1(value: float, text: str) -> None:
    assert confidence_text(value) == text


def test_images_of_splits_are_counted() -> None:
    assert searched_text({"val": 1, "train": 2000}) == "1 validation image and 2,000 training images"


def test_an_undefined_fraction_is_one_dash() -> None:
    assert bounds(Interval(float("nan"), float("nan"), float("nan"))) == "–"
    assert bounds(Interval(0.912, 0.88, 0.941)) == "91.2 % (88 % to 94.1 %)"
