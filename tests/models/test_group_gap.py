from __future__ import annotations

import numpy as np
import pytest
import torch

from raytl.models.group_gap import MOST_FOLDS, GroupGap, group_gap


def _gap(tint: float, sites: int = 4, per_site: int = 30, seed: int = 0) -> GroupGap:
    """Return the gap where each site has its own tint and mostly one of four classes, as in data from several hospitals.

    The features are the means of the color channels and of 12 patches of images of 24 x 24 pixels, whose class is a weak stripe.
    """
    rng = np.random.default_rng(seed)
    n = sites * per_site
    site = np.repeat(np.arange(sites), per_site)
    label = np.where(rng.random(n) < 0.7, site % 4, rng.integers(0, 4, n))
    images = rng.normal(120, 25, (n, 24, 24, 3))
    for k in range(4):
        images[label == k, 6 * k : 6 * k + 6] += 5
    images += tint * rng.normal(size=(sites, 1, 1, 3))[site]
    patches = images.mean(axis=3).reshape(n, 4, 6, 3, 8).mean(axis=(2, 4)).reshape(n, 12)
    features = torch.from_numpy(np.concatenate([images.mean(axis=(1, 2)), patches], axis=1)).float()
    found = group_gap(features, label, [f"site {i}" for i in site], "site", resamples=200)
    assert found is not None
    return found


def test_a_tint_for_each_site_shows_as_a_gap_to_the_random_split() -> None:
    found = _gap(tint=20)
    assert found.is_shown and found.gap.value > 0.1 and found.gap.low > 0
    assert found.gap.value == pytest.approx(found.random.value - found.held_out.value)
    assert {each.name for each in found.groups} == {f"site {i}" for i in range(4)}
    assert sum(each.images * each.held_out for each in found.groups) / 120 == pytest.approx(found.held_out.value)
    gaps = [each.random - each.held_out for each in found.groups]
    assert gaps == sorted(gaps, reverse=True)


def test_groups_without_a_meaning_show_no_gap() -> None:
    gaps = [_meaningless(seed) for seed in range(2, 6)]
    assert sum(gap.is_shown for gap in gaps) <= 1, "p is at most 0.05 in one of 20 cases"
    assert np.mean([gap.gap.value for gap in gaps]) < 0.05


def _meaningless(seed: int) -> GroupGap:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, 100)
    features = torch.from_numpy(np.eye(3)[label] + rng.normal(size=(100, 3))).float()
    found = group_gap(features, label, [str(i) for i in rng.integers(0, 5, 100)], "site", resamples=50)
    assert found is not None
    return found


def test_images_of_a_class_that_is_in_one_group_only_are_left_out() -> None:
    label = np.array([0, 1] * 20 + [2] * 10)
    features = torch.eye(3)[torch.from_numpy(label)]
    found = group_gap(features, label, ["a", "a", "b", "b"] * 10 + ["a"] * 10, "site", resamples=20)
    assert found is not None and found.left_out == 10 and sum(each.images for each in found.groups) == 40


def test_one_group_or_one_class_has_no_gap() -> None:
    features = torch.zeros(8, 2)
    assert group_gap(features, np.arange(8) % 2, ["a"] * 8, "site") is None
    assert group_gap(features, np.zeros(8, np.int64), ["a", "b"] * 4, "site") is None


def test_many_groups_are_held_out_several_at_a_time_and_each_is_whole() -> None:
    found = _gap(tint=0, sites=MOST_FOLDS + 5, per_site=4)
    assert len(found.groups) == MOST_FOLDS + 5
