"""Scores of independent labels equal those of scikit-learn, over any draw of images."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, log_loss, precision_recall_curve, roc_auc_score

from raytl.metrics.calibration import calibration_error
from raytl.metrics.draws import values
from raytl.metrics.intervals import estimates
from raytl.metrics.multilabel import curve, facts, joined_facts, measure
from raytl.metrics.paired import paired_by_images
from tests.metrics.same import assert_same

Table = NDArray[np.float64]


def sample(n: int, seed: int, *, labels: int = 4, ties: bool = True, unknown: float = 0.1, signal: float = 0.3) -> tuple[NDArray[np.int64], Table]:  # fmt: skip
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, labels)) < 0.3).astype(np.int64)
    table = np.clip(signal * targets + rng.random((n, labels)) * 0.7, 0, 1)
    targets[rng.random((n, labels)) < unknown] = -1
    return targets, table.round(1) if ties else table


def stats(targets: NDArray[np.int64], table: Table) -> dict[str, NDArray[np.float64]]:
    return values(partial(measure, facts(targets, table)), len(targets))


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_the_scores_equal_those_of_scikit_learn(seed: int, ties: bool) -> None:
    targets, table = sample(60, seed, ties=ties)
    mine = stats(targets, table)
    for label, (truth, score) in enumerate(zip(targets.T, table.T, strict=True)):
        known = truth >= 0
        truth, score = truth[known], score[known]
        assert mine["average_precision"][label] == pytest.approx(average_precision_score(truth, score), abs=1e-12)
        assert mine["roc_auc"][label] == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        assert mine["f1"][label] == pytest.approx(f1_score(truth, score >= 0.5), abs=1e-12)
    known = targets >= 0
    assert mine["map"] == pytest.approx(mine["average_precision"].mean(), abs=1e-12)
    assert mine["macro_f1"] == pytest.approx(mine["f1"].mean(), abs=1e-12)
    assert mine["micro_f1"] == pytest.approx(f1_score(targets[known], table[known] >= 0.5), abs=1e-12)
    assert mine["log_loss"] == pytest.approx(log_loss(targets[known], table[known]), abs=1e-12)


def test_a_curve_equals_that_of_scikit_learn() -> None:
    targets, table = sample(80, 1, unknown=0)
    points = curve(targets[:, 0], table[:, 0])
    assert points is not None
    precision, recall, thresholds = precision_recall_curve(targets[:, 0], table[:, 0])
    assert points.thresholds[::-1].tolist() == thresholds.tolist()
    assert points.precision[::-1] == pytest.approx(precision[:-1]) and points.recall[::-1] == pytest.approx(recall[:-1])


def test_a_label_without_positives_has_no_precision_and_is_left_out_of_the_mean() -> None:
    targets, table = sample(20, 2, ties=False)
    targets[:, 1], targets[:, 2] = 0, -1
    mine = stats(targets, table)
    assert np.isnan(mine["average_precision"][[1, 2]]).all() and np.isnan(mine["roc_auc"][[1, 2]]).all()
    assert mine["map"] == pytest.approx(mine["average_precision"][[0, 3]].mean())
    assert curve(targets[:, 1], table[:, 1]) is None and curve(targets[:, 2], table[:, 2]) is None
    assert mine["support"][2] == 0 and np.isnan(mine["f1"][2])


def test_each_label_has_its_threshold() -> None:
    targets, table = sample(30, 3)
    assert facts(targets, table, [0.0, 2.0, 0.5, 0.5]).predicted[:, :2].tolist() == [[True, False]] * 30


def test_a_draw_scores_as_the_images_that_it_repeats() -> None:
    targets, table = sample(12, 4)
    draws = np.random.default_rng(0).integers(0, 12, (5, 12))
    drawn = measure(facts(targets, table), draws)
    for row, draw in enumerate(draws):
        expected = stats(targets[draw], table[draw])
        assert_same({name: score[row] for name, score in drawn.items()}, expected)


def test_intervals_contain_the_value_and_a_lower_loss_is_a_gain() -> None:
    targets, table = sample(100, 5, ties=False)
    before, after = facts(targets, table), facts(targets, 0.5 * table + 0.5 * (targets == 1))
    interval = estimates(partial(measure, before), 100, resamples=200)["map"][0]
    assert interval.low < interval.value < interval.high
    gain = paired_by_images(partial(measure, joined_facts(before, after)), 100, "log_loss", resamples=200)
    assert gain.after < gain.before and 0 < gain.low < gain.gain < gain.high and gain.p_better < 0.01


def test_the_calibration_error_is_that_of_the_decisions_of_known_labels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (200, 4))
    targets = rng.integers(-1, 2, (200, 4))
    decisions = targets >= 0
    pairs = np.stack([np.zeros(decisions.sum()), logits[decisions]], axis=1)
    table = 1 / (1 + np.exp(-logits))
    found = values(partial(measure, facts(targets, table)), 200)["ece"]
    assert found == pytest.approx(calibration_error(targets[decisions], pairs), abs=1e-12)
    drawn = measure(facts(targets, table), np.array([[*range(100), *range(100)]]))["ece"]
    half = measure(facts(targets[:100], table[:100]), np.arange(100)[None])["ece"]
    assert drawn == pytest.approx(half, abs=1e-12)
