"""Thresholds certified over images keep their promise on new images, also where findings of an image err together."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.certified import DELTA
from raytl.metrics.certified_images import (
    FINDING_GRID,
    certified_finding_recall,
    certified_precision,
    fractions,
    mean_fraction,
)

AIM, EACH = 0.8, 6


def drawn(images: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return findings of which those of one image are right or wrong together in half of the images; the confidence is the
    chance of being right."""
    draw = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), EACH)
    confidence = np.repeat(draw.uniform(0.4, 1.0, images), EACH)
    shared, own = np.repeat(draw.random(images), EACH), draw.random(images * EACH)
    return image, confidence, np.where(image % 2 == 0, shared, own) < confidence


def missed(images: int, runs: int) -> tuple[float, float]:
    """Return how often a certified threshold misses the aim, and how often one is certified."""
    truth = {t: (max(t, 0.4) + 1.0) / 2 for t in FINDING_GRID.tolist()}  # the mean chance above a threshold
    results = [certified_precision(*drawn(images, seed), AIM).threshold for seed in range(runs)]
    certified = [t for t in results if t is not None]
    return sum(truth[t] < AIM for t in certified) / runs, len(certified) / runs


def test_a_certified_precision_holds() -> None:
    wrong, certified = missed(400, 60)
    assert wrong <= DELTA and certified > 0.5


@pytest.mark.thorough
def test_a_certified_precision_holds_at_the_stated_rate() -> None:
    wrong, certified = missed(400, 1000)
    assert wrong <= DELTA and certified > 0.5


def test_the_same_findings_in_one_image_certify_nothing() -> None:
    image, confidence, correct = np.zeros(500, int), np.full(500, 0.9), np.ones(500, bool)
    few = certified_precision(image, confidence, correct, AIM)
    assert few.threshold is None and (few.images, few.mean) == (1, 1.0)
    many = certified_precision(np.arange(500), confidence, correct, AIM)
    assert many.threshold == FINDING_GRID[0] and many.images == 500


def test_as_many_error_free_images_as_are_needed_do() -> None:
    needed = certified_precision(np.zeros(0, int), np.zeros(0), np.zeros(0, bool), AIM).needed
    for images, is_certified in ((needed, True), (needed - 1, False)):
        result = certified_precision(np.arange(images), np.full(images, 0.9), np.ones(images, bool), AIM)
        assert (result.threshold is not None) is is_certified


def test_recall_takes_the_highest_threshold_that_keeps_the_promise() -> None:
    image = np.repeat(np.arange(200), 2)
    confidence = np.tile([0.9, 0.6], 200)
    assert certified_finding_recall(image, confidence, 0.9).threshold == pytest.approx(0.5825, abs=1e-2)
    assert certified_finding_recall(image, np.zeros(400), 0.9).threshold is None


def test_p_values_are_those_of_a_coin_for_zeros_and_ones_at_most_times_e() -> None:
    from raytl.metrics.binomial import p_below, p_mean_below

    for hits in (0, 30, 45, 48, 50):
        values = np.array([1.0] * hits + [0.0] * (50 - hits))
        exact = float(p_below(hits, 50, AIM))
        p = p_mean_below(values.sum(), 50, AIM)
        assert exact <= p + 1e-12 and p <= min(1.0, np.e * exact) + 1e-12
    assert p_mean_below(0.0, 0, AIM) == 1.0


def test_images_count_once() -> None:
    values = fractions(np.array([0, 0, 0, 5]), np.array([True, True, False, False]))
    np.testing.assert_allclose(values, [2 / 3, 0.0])
    assert mean_fraction(values).value == pytest.approx(1 / 3) and np.isnan(mean_fraction(values[:0]).value)
