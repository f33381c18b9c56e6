from __future__ import annotations

import pytest

from raytl.errors import ModelError
from raytl.models.attribution.choice import METHODS, attribution
from tests.models.attribution.networks import network


@pytest.mark.parametrize(
    ("name", "px", "by_class", "method", "why"),
    [
        ("test_resnet", 96, True, "cam", "3 x 3 cells (layer4)"),
        ("test_vit", 64, False, "rollout", "each of 6 blocks attends over 4 x 4 patches"),
        ("test_vit", 64, True, "occlusion", "rollout does not depend on the class"),
        ("test_resnet", 32, False, "occlusion", "the stages do not end in a map"),
    ],
)
def test_the_default_is_a_method_that_is_valid(name: str, px: int, by_class: bool, method: str, why: str) -> None:
    made = attribution(network(name, px), by_class=by_class)
    assert made.name == method
    assert why in made.why
    assert made.by_class is (method != "rollout")


def test_what_is_asked_for_is_used_where_it_is_valid() -> None:
    backbone = network("test_resnet", 96)
    assert [attribution(backbone, method).name for method in METHODS if method != "rollout"] == [
        "cam",
        "ig",
        "occlusion",
    ]


@pytest.mark.parametrize(
    ("name", "method", "by_class", "fault"),
    [
        ("test_resnet", "rollout", False, "rollout is not valid for test_resnet: it is not a plain ViT"),
        ("test_vit", "cam", False, "cam is not valid for test_vit: its stages do not end in a map of 3 x 3 or more"),
        ("test_vit", "rollout", True, "attention rollout is the same for every class.*Use ig or occlusion"),
        ("test_vit", "lime", False, "method: found 'lime'; expected auto, cam, rollout, ig, occlusion"),
    ],
)
def test_a_method_that_is_not_valid_is_an_error(name: str, method: str, by_class: bool, fault: str) -> None:
    with pytest.raises(ModelError, match=fault):
        attribution(network(name, 64), method, by_class)
