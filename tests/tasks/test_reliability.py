"""A report says how sure answers are with and without the temperature of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.metrics.calibration import calibration_error, decision_losses
from raytl.tasks.classification.targets import decisions
from raytl.tasks.reliability import Calibration, calibration_of, calibration_text, changes, draw_reliability
from raytl.tasks.reporting import Evaluated
from tests.tasks.reports import samples

LOGITS = np.random.default_rng(0).normal(0, 2, (40, 3)).astype(np.float32)
TARGETS = [row % 3 for row in range(40)]


def evaluated(temperature: float | None) -> Evaluated:
    """Random answers, divided by the temperature."""
    return Evaluated(samples([None] * 40), TARGETS, (LOGITS / (temperature or 1),), ("a", "b", "c"), 3, temperature)


def test_the_scores_without_the_temperature_are_those_of_the_network_as_trained() -> None:
    found = calibration_of(evaluated(4.0), decisions)
    assert found is not None
    assert found.temperature == 4.0
    assert found.uncalibrated == pytest.approx(
        {"log_loss": decision_losses(TARGETS, LOGITS).mean(), "ece": calibration_error(TARGETS, LOGITS)}, rel=1e-6
    )
    assert calibration_of(evaluated(None), decisions) is None


def test_only_scores_of_the_report_are_compared() -> None:
    calibration = Calibration(2.0, {"log_loss": 1.5, "ece": 0.25})
    assert changes(calibration, {"log_loss": 0.5}) == "log loss 1.500 -> 0.500"
    assert calibration_text(calibration, {"ece": 0.125}).endswith(": calibration error 25.0 % -> 12.5 %.")
    assert calibration_text(None, {}) == ""


def test_a_calibrated_model_has_a_second_curve(tmp_path: Path) -> None:
    for name, temperature in (("one.png", None), ("two.png", 4.0)):
        draw_reliability(evaluated(temperature), decisions, tmp_path / name)
    colors = [
        len(Image.open(tmp_path / name).convert("RGB").getcolors(1 << 16) or ()) for name in ("one.png", "two.png")
    ]
    assert colors[1] > colors[0]
