from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.metrics import segmentation
from raytl.metrics.calibration import reliability
from raytl.metrics.pixels import MAX_SUSPECTS, SUSPECT, Pixels, binned_pixels, measure, suspects
from raytl.metrics.regions import edges
from raytl.metrics.segmentation import VOID
from tests.metrics.test_segmentation import Map, facts_of, maps

EVERY = np.arange(3)[None]


def pixels_of(truth: Map, predicted: Map, confidence: NDArray[np.floating]) -> tuple[NDArray[Any], ...]:
    """Return bins, edges and suspects of one image."""
    return binned_pixels(truth, predicted, confidence), edges(truth, predicted), suspects(truth, predicted, confidence)


def made(seed: int = 0) -> tuple[Pixels, dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]]:
    """Pixels of three images, and the scores of the same maps."""
    truths, predicted = maps(3, seed)
    confidence = np.random.default_rng(seed).uniform(0.3, 1, (3, *truths[0].shape))
    parts = [pixels_of(*each) for each in zip(truths, predicted, confidence, strict=True)]
    columns = [np.stack(column) for column in zip(*parts, strict=True)]
    facts = facts_of(truths, predicted)
    counts = np.stack([facts.hits, facts.calls, facts.support], axis=1)
    return Pixels(*columns[:2], counts, columns[2]), segmentation.measure(facts, EVERY)


def test_the_bins_of_confidence_are_those_of_the_calibration_of_decisions() -> None:
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(size=(400, 3)) * 2, rng.integers(0, 3, 400).astype(np.uint8)
    odds = np.exp(logits)
    sure, predicted = (odds / odds.sum(axis=1, keepdims=True)).max(axis=1), logits.argmax(axis=1).astype(np.uint8)
    shape = (20, 20)
    bins, _, _ = pixels_of(truth.reshape(shape), predicted.reshape(shape), sure.reshape(shape))
    expected, some = reliability(truth, logits), bins[:, 0] > 0
    np.testing.assert_array_equal(bins[some, 0], expected.count)
    np.testing.assert_allclose(bins[some, 1] / bins[some, 0], expected.accuracy)
    np.testing.assert_allclose(bins[some, 2] / bins[some, 0], expected.confidence)


def test_void_pixels_are_in_no_bin() -> None:
    void = np.full((8, 8), VOID, np.uint8)
    assert not any(each.any() for each in pixels_of(void, np.zeros((8, 8), np.uint8), np.ones((8, 8))))


def test_scores_are_those_of_the_evaluation_and_the_parts_near_and_far_add_up() -> None:
    pixels, expected = made()
    result = measure(pixels, EVERY)
    for name in ("miou", "pixel_accuracy", "iou"):
        np.testing.assert_allclose(result[name], expected[name])
    near, near_wrong, far, far_wrong = pixels.edges.sum(axis=0)
    wrong = (1 - expected["pixel_accuracy"][0]) * (near + far)
    assert near_wrong + far_wrong == pytest.approx(wrong)
    assert result["near_part"][0] == pytest.approx(near_wrong / wrong)
    assert result["near"][0] == pytest.approx(near_wrong / near) and result["far"][0] == pytest.approx(far_wrong / far)


def test_images_without_a_mistake_have_no_place_of_mistakes() -> None:
    pixels, _ = made()
    clean = Pixels(pixels.bins, pixels.edges * [1, 0, 1, 0], pixels.counts, pixels.suspects)
    assert np.isnan(measure(clean, EVERY)["near_part"][0]) and measure(clean, EVERY)["near"][0] == 0


def test_the_largest_contradictions_are_kept_with_their_place() -> None:
    truth, predicted = np.zeros((40, 80), np.uint8), np.zeros((40, 80), np.uint8)
    for place, size in enumerate((6, 7, 8, 9)):
        predicted[10 : 10 + size, 4 + 18 * place : 4 + 18 * place + size] = 1
    listed = suspects(truth, predicted, np.full(truth.shape, 0.97))
    assert listed.shape == (MAX_SUSPECTS, len(SUSPECT))
    given, suggested, area, confidence, *box = listed[0].tolist()
    assert (given, suggested) == (0, 1) and area == pytest.approx(81 / 3200) and confidence == pytest.approx(0.97)
    assert box == [58, 10, 67, 19]
    assert (np.diff(listed[:, 2]) < 0).all()
