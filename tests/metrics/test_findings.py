"""What is reported and missed at the thresholds, and means whose units are images."""

from __future__ import annotations

import numpy as np

from raytl.metrics.findings import BACKGROUND, CORRECT, Findings, Wanted, image_sums, mean_by_images, sizes_of


def made(confidence: list[float], thresholds: tuple[float, ...] = (0.5, 0.3)) -> Findings:
    """Return a finding of class 0 and one of class 1 with these confidences; the first finds the only thing."""
    wanted = Wanted(np.array([0]), np.array([0]), np.array([1]), np.array(confidence[:1]), np.zeros((1, 4), np.float32))
    return Findings(
        image=np.array([0, 1]), label=np.array([0, 1]), confidence=np.array(confidence),
        error=np.array([CORRECT, BACKGROUND]), truth=np.array([0, -1]), size=np.array([1, 1]),
        boxes=np.zeros((2, 4), np.float32), wanted=wanted, thresholds=np.array(thresholds), score=np.array([1.0, 0.0]),
    )  # fmt: skip


def test_each_class_has_its_own_threshold() -> None:
    findings = made([0.4, 0.4])
    assert findings.reported.tolist() == [False, True] and findings.missed.tolist() == [True]
    assert made([0.5, 0.2]).reported.tolist() == [True, False] and made([0.5, 0.2]).missed.tolist() == [False]
    assert findings.correct.tolist() == [True, False] and (len(findings), len(findings.wanted)) == (2, 1)


def test_sizes_begin_at_the_bounds_of_coco() -> None:
    assert sizes_of(np.array([0.0, 1023.9, 1024.0, 9215.9, 9216.0, 1e6])).tolist() == [0, 0, 1, 1, 2, 2]


def test_an_interval_over_images_is_wider_where_images_err_together() -> None:
    draw = np.random.default_rng(0)
    image = np.repeat(np.arange(40), 10)
    alone, together = draw.random(400) < 0.7, np.repeat(draw.random(40) < 0.7, 10)
    widths = [each.high - each.low for each in (mean_by_images(image, v.astype(float)) for v in (alone, together))]
    assert widths[1] > 2 * widths[0] and mean_by_images(image, alone.astype(float)).value == alone.mean()
    assert np.isnan(mean_by_images(image[:0], np.zeros(0)).value)


def test_sums_of_images_count_what_is_reported() -> None:
    np.testing.assert_allclose(image_sums(made([0.6, 0.4])), [[1, 1, 0.6, 1], [0, 1, 0.4, 0]])
    np.testing.assert_allclose(image_sums(made([0.4, 0.2])), [[1, 0, 0, 0], [0, 0, 0, 0]])


def test_a_mean_of_which_all_images_are_right_has_an_exact_bound() -> None:
    all_right = mean_by_images(np.repeat(np.arange(10), 2), np.ones(20))
    assert (all_right.value, all_right.high) == (1, 1) and abs(all_right.low - 0.025**0.1) < 1e-9
