"""Keys of label methods that contradict each other, or that cannot take effect."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import ConfigError

BASE: dict[str, Any] = {"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}}
SPACE = {"adapt.method": {"choice": ["none", "centroids"]}}


def built(**sections: Any) -> Experiment:
    return override(Experiment.model_validate(BASE), sections)


@pytest.mark.parametrize("method", ["centroids", "adabn_centroids", "auto"])
def test_a_method_of_adaptation_needs_a_target(method: str) -> None:
    with pytest.raises(ConfigError, match=f"found {method}, and adapt.target is null: there are no images to label"):
        built(adapt={"method": method})
    assert built(adapt={"method": method, "target": "y"}).adapt.method == method


def test_a_searched_method_needs_a_target_too() -> None:
    with pytest.raises(ConfigError, match="adapt.target is null"):
        built(search={"space": SPACE})
    assert built(adapt={"target": "y"}, search={"space": SPACE}).adapt.target == "y"


@pytest.mark.parametrize(
    ("adapt", "because"),
    [
        ({"target": "y"}, "adapt.method and warmup.method are none, and adapt.style.probability is 0"),
        ({"target": "y", "method": "centroids", "alpha": 0.3}, "adapt.method is centroids"),
    ],
)
def test_keys_that_the_method_does_not_use_are_an_error(adapt: dict[str, Any], because: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot take effect: {because}"):
        built(adapt=adapt)


def test_random_weights_have_no_features_to_adapt() -> None:
    with pytest.raises(ConfigError, match=r"found auto, and model.weights is none"):
        built(adapt={"method": "auto", "target": "y"}, **{"model.weights": "none"})


@pytest.mark.parametrize("key", ["adapt.target", "adapt.alpha"])
def test_a_sweep_varies_the_method_alone(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: this key is the same for all trials"):
        built(adapt={"method": "auto", "target": "y"}, search={"space": {key: {"choice": [0.5]}}})
