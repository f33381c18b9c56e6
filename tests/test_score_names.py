from __future__ import annotations

import pytest

from raytl.score_names import is_fraction, p_text, title


@pytest.mark.parametrize(
    ("name", "text"),
    [("balanced_accuracy", "balanced accuracy"), ("top_5_accuracy", "top-5 accuracy"), ("map_50", "mAP 50"),
     ("macro_f1", "macro F1"), ("miou", "mIoU"), ("box_map", "box mAP"), ("log_loss", "log loss")],
)  # fmt: skip
def test_scores_are_named_as_people_do(name: str, text: str) -> None:
    assert title(name) == text


@pytest.mark.parametrize(
    ("name", "expected"),
    [("val/accuracy", True), ("top_5_accuracy", True), ("map_small", True), ("ar_100", True), ("val/log_loss", False),
     ("mean_error", False), ("train/loss", False), ("arm_length", False), ("val/seconds", False)],
)  # fmt: skip
def test_fractions_are_those_shown_in_percent(name: str, expected: bool) -> None:
    assert is_fraction(name) is expected


def test_a_p_value_is_never_zero() -> None:
    assert [p_text(p) for p in (0.0, 0.0009, 0.001, 0.0136, 1.0)] == [
        "p < 0.001",
        "p < 0.001",
        "p 0.001",
        "p 0.014",
        "p 1.000",
    ]
    assert p_text(float("nan")) == "p nan"
