from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.simulations.sites import drawn_gap, meaningless_gap
from raytl.models.group_gap import MOST_FOLDS, GroupGap, group_gap


def test_a_tint_for_each_site_shows_as_a_gap_to_the_random_split() -> None:
    found = drawn_gap(tint=20)
    assert found.is_shown and found.gap.value > 0.1 and found.gap.low > 0
    assert found.gap.value == pytest.approx(found.random.value - found.held_out.value)
    assert {each.name for each in found.groups} == {f"site {i}" for i in range(4)}
    assert sum(each.images * each.held_out for each in found.groups) / 120 == pytest.approx(found.held_out.value)
    gaps = [each.random - each.held_out for each in found.groups]
    assert gaps == sorted(gaps, reverse=True)


def test_groups_without_a_meaning_show_no_gap() -> None:
    gaps = [meaningless_gap(seed) for seed in range(2, 6)]
    assert sum(gap.is_shown for gap in gaps) <= 1, "p is at most 0.05 in one of 20 cases"
    assert np.mean([gap.gap.value for gap in gaps]) < 0.05


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
    found = drawn_gap(tint=0, sites=MOST_FOLDS + 5, per_site=4)
    assert len(found.groups) == MOST_FOLDS + 5


def separable(classes: int, images: int, sites: int) -> GroupGap:
    """The gap of images that are all easy, of which each class is at two of the sites."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(classes), images)
    pairs = np.array([rng.permutation(sites)[:2] for _ in range(classes)])
    names = [f"site {site}" for site in pairs[label, np.arange(len(label)) % 2]]
    features = torch.from_numpy(rng.normal(size=(classes, 64))[label] + 0.3 * rng.normal(size=(len(label), 64)))
    found = group_gap(features, label, names, "site", resamples=20)
    assert found is not None and found.left_out == 0
    return found


def test_classes_whose_groups_are_held_out_together_make_no_gap() -> None:
    found = separable(40, 6, sites=3 * MOST_FOLDS)
    assert not found.is_shown and found.gap.value < 0.01
    assert sum(each.images for each in found.groups) < 240


def test_a_sample_scores_no_class_that_it_has_of_one_group_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.models.group_gap.MOST_IMAGES", 80)
    assert not separable(20, 20, sites=8).is_shown
