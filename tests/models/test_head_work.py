"""The work of solving a head has a bound."""

from __future__ import annotations

import pytest

from raytl.models.head_work import (
    LEAST_EVALUATIONS,
    MOST_EVALUATIONS,
    MOST_WORK,
    evaluations,
    most_classes,
    most_images,
)
from raytl.models.solved_head import STRENGTHS

PENALTIES = len(STRENGTHS)


@pytest.mark.parametrize(
    ("images", "features", "classes", "expected"),
    [
        (60, 1280, 6, MOST_EVALUATIONS),
        (20_000, 1280, 100, MOST_EVALUATIONS),
        (10_000, 1280, 1000, 244),
        (20_000, 1280, 10_000, LEAST_EVALUATIONS),
    ],
)
def test_only_thousands_of_classes_have_fewer_steps(images: int, features: int, classes: int, expected: int) -> None:
    assert evaluations(images, features, classes, PENALTIES) == expected


@pytest.mark.parametrize(("features", "classes"), [(192, 10_000), (1280, 1000), (1280, 10_000), (2048, 11_000)])
def test_as_many_images_as_allowed_do_not_exceed_the_work(features: int, classes: int) -> None:
    images = most_images(features, classes, PENALTIES)
    assert images >= classes and most_classes(features, PENALTIES) >= classes
    steps = PENALTIES * evaluations(images, features, classes, PENALTIES)
    assert 0.9 * MOST_WORK < 2.0 * images * features * classes * steps <= MOST_WORK


def test_the_most_classes_have_an_image_each() -> None:
    most = most_classes(1280, PENALTIES)
    assert most_images(1280, most, PENALTIES) >= most
    assert most_images(1280, most + 1, PENALTIES) < most + 1
