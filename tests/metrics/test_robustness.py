"""Losses are tested against the unchanged images, exactly and corrected for the number of tests."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics import robustness
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.multiple import holm
from raytl.metrics.paired import mcnemar
from raytl.metrics.robustness import LEVEL, Logits, answered, scored, smallest_loss

TARGETS = np.arange(60) % 3


def logits_of(predicted: Ints, height: float = 3.0) -> Logits:
    """Return logits with which these classes are chosen."""
    return height * np.eye(3)[predicted]


def wrong_in(places: slice) -> Logits:
    """Return logits that are right except in these places."""
    predicted = TARGETS.copy()
    predicted[places] = (predicted[places] + 1) % 3
    return logits_of(predicted)


def test_accuracy_confidence_and_changes_are_counted() -> None:
    clean, (other,) = answered(TARGETS, wrong_in(slice(0, 6)), [wrong_in(slice(4, 24))])
    assert clean.accuracy.value == pytest.approx(0.9) and clean.accuracy.low < 0.9 < clean.accuracy.high
    assert (clean.gained, clean.lost, clean.p, clean.is_worse) == (0, 0, 1.0, False)
    assert other.accuracy.value == pytest.approx(40 / 60) and (other.gained, other.lost) == (4, 18)
    assert other.p == pytest.approx(mcnemar(4, 18)[1]) and other.is_worse
    assert clean.confidence == pytest.approx(np.exp(3) / (np.exp(3) + 2))


def test_p_values_are_corrected_for_their_number() -> None:
    lost = [wrong_in(slice(0, count)) for count in (0, 7, 20)]
    _, others = answered(TARGETS, logits_of(TARGETS), lost)
    assert [each.p for each in others] == pytest.approx(holm([1.0, 0.5**7, 0.5**20]))
    assert [each.is_worse for each in others] == [False, True, True]


def test_a_gain_is_no_loss() -> None:
    _, (better,) = answered(TARGETS, wrong_in(slice(0, 20)), [logits_of(TARGETS)])
    assert better.p == 1.0 and better.gained == 20


@pytest.mark.parametrize("comparisons", [1, 8, 39])
def test_the_smallest_loss_is_confirmed_and_one_less_is_not(comparisons: int) -> None:
    lost = smallest_loss(comparisons)
    assert 0.5**lost * comparisons < LEVEL <= 0.5 ** (lost - 1) * comparisons


def test_confidence_that_stays_while_accuracy_falls_is_a_calibration_error() -> None:
    clean, (other,) = answered(TARGETS, logits_of(TARGETS, 6), [6 / 3 * wrong_in(slice(0, 40))])
    assert not clean.ece.is_evidence
    assert other.ece.is_evidence and other.ece.value > 0.5


@pytest.mark.thorough
def test_at_most_five_percent_of_harmless_suites_name_a_corruption() -> None:
    rng, named = np.random.default_rng(0), 0
    for _ in range(400):
        flips = rng.binomial(12, 0.5, 39)  # 12 images change, each in either direction
        named += bool((holm([mcnemar(12 - lost, lost)[1] for lost in flips.tolist()]) < LEVEL).any())
    assert named <= 0.05 * 400


def sums(scores: Floats, correct: Floats | float = 3.0) -> Floats:
    """Return the sums of images with these scores and four findings each, of which so many are right, with confidence 0.75."""
    return np.stack(
        [scores, np.full(len(scores), 4.0), np.full(len(scores), 3.0), np.broadcast_to(correct, len(scores))], 1
    )


def test_a_score_that_falls_on_most_images_is_worse_and_luck_is_not() -> None:
    draw = np.random.default_rng(0)
    clean = draw.uniform(0.5, 1.0, 60)
    first, (lower, noisy) = scored(
        sums(clean), [sums(clean - draw.uniform(0, 0.2, 60)), sums(clean + draw.normal(0, 0.1, 60))]
    )
    assert first.p == 1.0 and first.score.low < first.score.value < first.score.high
    assert lower.is_worse and not noisy.is_worse and not lower.is_overconfident
    assert (first.confidence, first.correct) == (0.75, 0.75)


def test_confidence_that_exceeds_what_is_right_by_more_than_unchanged_is_named() -> None:
    draw = np.random.default_rng(1)
    clean = draw.uniform(0.5, 1.0, 60)
    fewer, luck = draw.binomial(4, 0.4, 60).astype(float), draw.binomial(4, 0.75, 60).astype(float)
    _, (worse, same, none) = scored(sums(clean), [sums(clean, fewer), sums(clean, luck), 0 * sums(clean)])
    assert worse.is_overconfident and not same.is_overconfident
    assert np.isnan(none.confidence) and not none.is_overconfident and none.is_worse


@pytest.mark.thorough
def test_few_comparisons_of_scores_name_a_change_that_harms_nothing() -> None:
    false = np.zeros(2)
    for seed in range(60):
        draw = np.random.default_rng(seed)
        clean = draw.uniform(0.3, 1.0, 40)
        correct = lambda: draw.binomial(4, 0.75, 40).astype(float)  # noqa: B023, E731
        versions = [sums(clean + draw.normal(0, 0.2, 40), correct()) for _ in range(36)]
        answers = scored(sums(clean, correct()), versions)[1]
        false += any(each.is_worse for each in answers), any(each.is_overconfident for each in answers)
    assert (false <= 7).all(), false


def test_scores_do_not_depend_on_the_blocks_in_which_draws_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    unchanged, *changed = (sums(rng.random(30)) for _ in range(3))
    whole = scored(unchanged, changed)
    monkeypatch.setattr(robustness, "_VALUES_AT_ONCE", 7_000)
    parts = scored(unchanged, changed)
    for one, other in zip((whole[0], *whole[1]), (parts[0], *parts[1]), strict=True):
        assert (one.p, one.is_overconfident) == (other.p, other.is_overconfident)
        assert (other.score.low, other.score.high) == pytest.approx((one.score.low, one.score.high))
