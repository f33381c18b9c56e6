from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from experiments.simulations.slices import false_slices, searched, texts
from raytl.metrics.attributes import of_numbers, of_texts
from raytl.metrics.multiple import holm
from raytl.metrics.slices import find_slices


def test_a_planted_weak_slice_is_found_with_its_own_conditions() -> None:
    found = searched(0, weak=True).confirmed
    assert found
    names = [name for name, _ in found[0].conditions]
    assert names == ["site", "number 0"]
    assert found[0].conditions[0] == ("site", "2") and found[0].conditions[1][1].startswith("below")
    assert found[0].test.error_rate > 3 * found[0].test.other_error_rate


def test_nothing_is_confirmed_where_errors_are_random() -> None:
    searches = [searched(seed) for seed in range(6)]
    assert sum(bool(search.confirmed) for search in searches) <= 1
    assert any(search.slices for search in searches), "validation alone does show some"
    assert all(search.candidates > 50 for search in searches)


@pytest.mark.thorough
def test_of_200_runs_without_a_weak_slice_at_most_5_percent_confirm_one() -> None:
    assert false_slices(200)[0] <= 0.05


def test_a_bad_class_is_not_listed_again_with_the_properties_of_its_images() -> None:
    rng = np.random.default_rng(3)
    label = rng.integers(0, 4, 2000)
    errors = rng.random(2000) < np.where(label == 1, 0.5, 0.05)
    number = rng.normal(size=2000)
    attributes = [texts("class", label, 1000), of_numbers("brightness", number[:1000], number[1000:])]
    assert [each.name for each in find_slices(errors[:1000], errors[1000:], attributes).confirmed] == ["class = 1"]


def test_what_validation_shows_and_test_does_not_is_not_confirmed() -> None:
    site = np.repeat([0, 1], 50)
    val, test = site == 0, np.zeros(100, np.bool_)
    search = find_slices(val, test, [of_texts("site", [*map(str, site)], [*map(str, site)])])
    assert [each.name for each in search.slices] == ["site = 0"]
    assert search.slices[0].p_test == 1.0 and not search.confirmed


def test_slices_below_the_minimum_are_tested_on_neither_split() -> None:
    site = ["a"] * 19 + ["b"] * 81
    few = np.arange(100) < 19
    assert find_slices(few, few, [of_texts("site", site, site)]).candidates == 1  # b
    search = find_slices(few, few[::2], [of_texts("site", site, site[::2])], min_images=15)
    assert [each.name for each in search.slices] == ["site = a"]
    assert np.isnan(search.slices[0].p_test) and not search.slices[0].is_confirmed


def test_the_p_value_is_that_of_the_exact_test() -> None:
    errors = np.array([True] * 8 + [False] * 22 + [True] * 5 + [False] * 65)
    site = ["a"] * 30 + ["b"] * 70
    found = find_slices(errors, errors, [of_texts("site", site, site)]).slices[0]
    expected = fisher_exact([[8, 22], [5, 65]], alternative="greater").pvalue
    assert found.p_val == pytest.approx(expected) and found.p_test == pytest.approx(expected)


def test_holm_multiplies_by_the_number_of_tests_that_remain_and_never_descends() -> None:
    corrected = holm(np.array([0.02, 0.01, np.nan, 0.04, 0.9]))
    assert corrected[[0, 1, 3, 4]].tolist() == pytest.approx([0.06, 0.04, 0.08, 0.9])
    assert np.isnan(corrected[2])
    assert holm(np.array([0.8, 0.7])).tolist() == [1.0, 1.0]
    assert len(holm(np.zeros(0))) == 0


def test_an_empty_split_or_no_attribute_is_no_slice() -> None:
    nothing = np.zeros(0, np.bool_)
    assert find_slices(nothing, nothing, [of_texts("site", [], [])]).slices == ()
    assert find_slices(np.ones(40, np.bool_), nothing, []).candidates == 0
