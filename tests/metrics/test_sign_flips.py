"""Paired differences of groups of images, and what chance alone would show."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from experiments.simulations.groups import false_gains
from raytl.metrics.paired import classes_by_images, mcnemar, paired, paired_by_images, paired_classes
from raytl.metrics.sign_flips import flipped, net_changes


@pytest.mark.parametrize("differences", [[3, -1, 0, 2, 2, -5], [4], [0, 0], [-2, -2, 7]])
def test_the_p_values_count_every_flip_of_the_signs(differences: list[int]) -> None:
    sums = np.array([np.dot(signs, differences) for signs in product((-1, 1), repeat=len(differences))])
    better, worse = flipped(np.array(differences))
    assert better == pytest.approx((sums >= sum(differences)).mean())
    assert worse == pytest.approx((sums <= sum(differences)).mean())


@pytest.mark.parametrize(("gained", "lost"), [(3, 0), (10, 2), (5, 5), (0, 7), (0, 0), (2600, 2500)])
def test_groups_of_one_image_are_mcnemar(gained: int, lost: int) -> None:
    differences = np.repeat([1, -1, 0], [gained, lost, 4])
    np.testing.assert_allclose(flipped(differences), mcnemar(gained, lost), rtol=1e-9, atol=1e-12)


def test_a_patient_whose_images_are_all_gained_is_one_witness() -> None:
    targets, groups = np.zeros(60, np.int64), np.repeat(np.arange(6), 10)
    before, after = (groups < 1).astype(np.int64), np.zeros(60, np.int64)  # all of the first patient
    alone, grouped = (paired_classes(targets, before, after, "accuracy", each) for each in (None, groups))
    assert (grouped.gained, grouped.lost, grouped.gain) == (10, 0, pytest.approx(alone.gain))
    assert alone.p_better < 0.001
    assert grouped.p_better == 0.5
    assert grouped.low == 0 < alone.low


def test_other_scores_swap_whole_groups_and_classes_too() -> None:
    targets, groups = np.tile([0, 1], 20), np.repeat(np.arange(4), 10)
    before, after = np.full((40, 2), 0.5), np.eye(2)[targets]
    before[np.arange(40), 1 - targets] = 0.6
    assert paired(targets, before, after, "log_loss", groups=groups).p_better == 1 / 16, "all 16 swaps of four groups"
    assert paired(targets, before, after, "log_loss").p_better < 0.001
    scores = np.repeat([[0.0, 0.5], [1.0, 0.5]], 40, axis=0)
    changes = classes_by_images(lambda draws: {"f1": scores[draws].mean(axis=1)}, 40, "f1", groups=groups)
    assert [each.p_worse for each in changes] == [1, 1]
    back = classes_by_images(lambda draws: {"f1": 1 - scores[draws].mean(axis=1)}, 40, "f1", groups=groups)
    assert [each.p_worse for each in back] == [1 / 16, 1]


def test_groups_of_one_image_are_tested_as_images() -> None:
    scores, alone = np.random.default_rng(0).random(30), np.random.default_rng(1).permutation(15)
    one, other = (
        paired_by_images(lambda draws: {"f1": scores[draws].mean(axis=1)}, 15, "f1", groups=each)
        for each in (None, alone)
    )
    assert one.p_better == pytest.approx(other.p_better, abs=0.05)
    assert one.low == pytest.approx(other.low, abs=0.04)


def test_models_that_differ_from_patient_to_patient_alone_are_seldom_better() -> None:
    by_images, by_groups = false_gains(25, 12, (4, 1), 200)
    assert by_images > 0.12
    assert by_groups <= 0.08


def test_net_changes_add_up_by_group() -> None:
    gained, lost = np.array([True, True, False, False]), np.array([False, False, True, False])
    assert net_changes(gained, lost, np.array([2, 0, 0, 0])).tolist() == [0, 0, 1]
