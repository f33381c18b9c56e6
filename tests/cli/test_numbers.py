"""Numbers as people read them."""

from __future__ import annotations

import pytest

from raytl.cli import numbers


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("val/accuracy", 0.9134, "91.3 %"),
        ("macro_f1", 1.0, "100.0 %"),
        ("val/log_loss", 0.12345, "0.123"),
        ("ece", 0.05, "5.0 %"),
        ("accuracy", float("nan"), "–"),
    ],
)
def test_scores(name: str, value: float, text: str) -> None:
    assert numbers.score(name, value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("val/macro_f1", "macro F1"),
        ("top_5_accuracy", "top-5 accuracy"),
        ("ece", "calibration error"),
        ("val/boundary_f", "boundary F"),
        ("val/balanced_accuracy", "balanced accuracy"),
    ],
)
def test_names_of_metrics(name: str, text: str) -> None:
    assert numbers.metric(name) == text


@pytest.mark.parametrize(("value", "text"), [(0.001, "1e-3"), (0.00036, "3.6e-4"), (0, "0"), (1.0, "1e0"), (10, "1e1")])
def test_rates(value: float, text: str) -> None:
    assert numbers.rate(value) == text


@pytest.mark.parametrize(("value", "text"), [(999, "999"), (1500, "1.5 k"), (3_504_872, "3.5 M"), (2 * 10**9, "2.0 G")])
def test_counts(value: int, text: str) -> None:
    assert numbers.count(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (75, "1:15"), (4000, "1:06:40"), (-1, "0:00")])
def test_durations(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


def test_plurals() -> None:
    assert (numbers.plural(1, "image"), numbers.plural(1204, "image")) == ("1 image", "1,204 images")
