"""Calibrated findings show no evidence, also where images err together; overconfident ones do."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.finding_calibration import binned_error, finding_error, finding_reliability
from raytl.metrics.miscalibration import CalibrationError

IMAGES, EACH = 60, 8


def drawn(seed: int, together: bool = False, shift: float = 0.0) -> CalibrationError:
    """Return the error of findings that are right as often as their confidence less `shift`; together: those of an image share
    one draw."""
    draw = np.random.default_rng(seed)
    image = np.repeat(np.arange(IMAGES), EACH)
    confidence = (
        np.repeat(draw.uniform(0.3, 0.95, IMAGES), EACH) if together else draw.uniform(0.3, 0.95, IMAGES * EACH)
    )
    luck = np.repeat(draw.random(IMAGES), EACH) if together else draw.random(IMAGES * EACH)
    return finding_error(image, confidence, luck < confidence - shift, seed)


def test_calibrated_findings_show_no_evidence() -> None:
    assert sum(drawn(seed).is_evidence for seed in range(20)) <= 3


def test_images_that_err_together_are_no_evidence_either() -> None:
    errors = [drawn(seed, together=True) for seed in range(20)]
    assert sum(each.is_evidence for each in errors) <= 3
    assert np.mean([each.value for each in errors]) > 1.5 * np.mean([drawn(seed).value for seed in range(20)])


@pytest.mark.thorough
@pytest.mark.parametrize("together", [False, True])
def test_calibrated_findings_show_evidence_at_the_stated_rate(together: bool) -> None:
    rate = np.mean([drawn(seed, together).is_evidence for seed in range(400)])
    assert rate <= 0.08


def test_overconfidence_is_evidence() -> None:
    assert all(drawn(seed, shift=0.2).is_evidence for seed in range(5))


def test_the_band_holds_the_confidence_and_grows_with_clusters() -> None:
    draw = np.random.default_rng(0)
    image, confidence = np.repeat(np.arange(IMAGES), EACH), draw.uniform(0.3, 0.95, IMAGES * EACH)
    result = finding_reliability(image, confidence, draw.random(IMAGES * EACH) < confidence)
    assert ((result.low <= result.confidence) & (result.confidence <= result.high)).all()
    assert result.count.sum() == IMAGES * EACH
    together = finding_reliability(image, confidence, np.repeat(draw.random(IMAGES), EACH) < confidence)
    assert (together.high - together.low).mean() > (result.high - result.low).mean()


def test_without_findings_the_error_is_undefined() -> None:
    error = finding_error(np.zeros(0, int), np.zeros(0), np.zeros(0, bool))
    assert np.isnan(error.value) and not error.is_evidence


def test_pixels_that_are_all_void_are_no_evidence() -> None:
    error = binned_error(np.zeros((9, 15, 3)))
    assert np.isnan(error.value) and not error.is_evidence
