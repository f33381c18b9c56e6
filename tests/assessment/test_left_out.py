from __future__ import annotations

import numpy as np
import pytest

from raytl.assessment.left_out import MOST_GROUPS, fine_tuned_gap, left_out

TARGETS = np.arange(120) % 3
SITES = [f"site {i}" for i in np.repeat(np.arange(4), [50, 40, 20, 10])]


def test_no_network_learns_from_what_it_answers_and_both_kinds_answer_each_image_once() -> None:
    division = left_out("site", SITES, TARGETS)
    assert division is not None and len(division.networks) == 8 and division.unmeasured == ()
    for network in division.networks:
        learned = set(network.train) | set(network.val)
        assert len(learned) == len(network.train) + len(network.val) == 120 - len(network.held_out)
        assert learned.isdisjoint(network.held_out)
        assert set(TARGETS[network.val]) <= set(TARGETS[network.train]) and len(network.val) == pytest.approx(
            len(learned) / 7, abs=1
        )
    for kind in (division.without, division.random):
        assert np.array_equal(np.sort(np.concatenate([each.held_out for each in kind])), division.images)
        assert [len(each.held_out) for each in kind] == [50, 40, 20, 10]
    assert [{SITES[i] for i in each.held_out} for each in division.without] == [{f"site {i}"} for i in range(4)]
    assert [each.title for each in division.networks[:2]] == ["without site 'site 0'", "without random fold 1 for site"]


def test_the_largest_groups_are_left_out_and_the_others_named() -> None:
    division = left_out("site", [f"{i % 8}" for i in range(116)], np.arange(116) // 8 % 3)
    assert division is not None and len(division.without) == MOST_GROUPS
    assert division.unmeasured == ("5", "6", "7"), "0 to 3 have an image more"


def test_groups_without_which_too_little_remains_are_not_left_out() -> None:
    sites = ["large"] * 60 + ["a"] * 3 + ["b"] * 3
    division = left_out("site", sites, np.arange(66) % 2)
    assert division is not None and division.unmeasured == ("large",)
    assert left_out("site", sites[:63], np.arange(63) % 2) is None
    assert left_out("site", ["one"] * 30, np.arange(30) % 2) is None


def test_every_network_has_two_classes_to_learn_from() -> None:
    for seed in range(60):
        draw = np.random.default_rng(seed)
        targets, sites = (np.arange(24) < 3).astype(int), draw.permutation(["a"] * 10 + ["b"] * 14).tolist()
        division = left_out("site", sites, targets, seed)
        networks = () if division is None else division.networks
        assert all(len(np.unique(targets[each.train])) == 2 for each in networks)


def test_a_class_of_one_group_is_not_used() -> None:
    targets = np.append(np.arange(40) % 2, np.full(9, 2))
    division = left_out("site", ["a", "a", "b", "b"] * 10 + ["a"] * 9, targets)
    assert division is not None and division.one_group == 9
    assert all(40 not in np.concatenate([each.train, each.val, each.held_out]) for each in division.networks)


def test_images_without_a_value_are_no_group() -> None:
    with_some = [*SITES, *[""] * 30]
    division = left_out("site", with_some, np.concatenate([TARGETS, np.arange(30) % 3]))
    alone = left_out("site", SITES, TARGETS)
    assert division is not None and alone is not None and division.groups == alone.groups and division.one_group == 0
    for one, other in zip(division.networks, alone.networks, strict=True):
        assert np.array_equal(one.train, other.train) and np.array_equal(one.held_out, other.held_out)


def test_the_gap_is_that_of_the_answers() -> None:
    division = left_out("site", SITES, TARGETS)
    assert division is not None
    right = [TARGETS[network.held_out] for network in division.networks]
    wrong = [answers if place % 2 else (answers + 1) % 3 for place, answers in enumerate(right)]
    none, all_of_it = fine_tuned_gap(division, TARGETS, right).gap, fine_tuned_gap(division, TARGETS, wrong).gap
    assert (none.gap.value, none.is_shown) == (0, False)
    assert (all_of_it.gap.value, all_of_it.is_shown) == (1, True) and all_of_it.p < 1e-6
    assert [each.images for each in all_of_it.groups] == [50, 40, 20, 10]
