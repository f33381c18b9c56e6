from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.attributes import UNKNOWN, of_features, of_numbers, of_texts


def test_texts_get_the_codes_of_validation_and_what_only_test_has_is_unknown() -> None:
    found = of_texts("site", ["B", "A", "", "B"], ["A", "C", "B"])
    assert found.values == ("A", "B")
    assert found.val.tolist() == [1, 0, UNKNOWN, 1]
    assert found.test.tolist() == [0, UNKNOWN, 1]


def test_numbers_are_divided_into_thirds_of_the_validation_images() -> None:
    found = of_numbers("size", np.arange(30), [-5.0, 15.0, 99.0, np.nan])
    assert np.bincount(found.val).tolist() == [10, 10, 10]
    assert found.test.tolist() == [0, 1, 2, UNKNOWN]
    assert found.values == ("below 9.67", "9.67 to 19.3", "19.3 and more")


@pytest.mark.parametrize("numbers", [[7.0] * 9, [np.nan, np.nan], []])
def test_numbers_that_do_not_differ_are_one_bin(numbers: list[float]) -> None:
    assert of_numbers("size", numbers, [1.0]).values == ("all",)


def test_clusters_separate_clouds_and_take_in_the_test_images_beside_them() -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(3, 20)) * 9
    cloud = rng.integers(0, 3, 90)
    found = of_features("cluster", centers[cloud] + rng.normal(size=(90, 20)), centers, clusters=3)
    for k in range(3):
        assert set(found.val[cloud == k]) == {found.test[k]}
    assert np.bincount(found.val).tolist() == sorted(np.bincount(found.val), reverse=True)


def test_there_are_no_more_clusters_than_images() -> None:
    assert len(of_features("cluster", np.eye(3), np.eye(3)).values) <= 3
    assert of_features("cluster", np.ones((9, 3)), np.eye(3)).values == ("1",), "all features are the same"
