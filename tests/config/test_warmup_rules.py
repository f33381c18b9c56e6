"""`warmup` beside other keys."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.rules import idle
from raytl.config.schema import Experiment
from raytl.errors import ConfigError

BASE = {"name": "a", "data": "x", "model": "m", "compute": {"workers": 3}}


def built(**sections: Any) -> Experiment:
    return Experiment(**{**BASE, **sections})


@pytest.mark.parametrize(
    ("sections", "because"),
    [
        ({"transfer": {"unfreeze": 0}}, "found simclr, and transfer.unfreeze is 0: no stage is trained"),
        (
            {"transfer": {"head_start": "weights"}, "model": {"name": "m", "weights": "runs/a"}},
            "found simclr, and transfer.head_start is weights",
        ),
        ({"warmup": {"method": "simclr", "batch_size": 5}}, r"warmup\.batch_size: found 5, and compute.workers is 3"),
        ({"retrain": {"how": {"search_again": {"every": 2, "trials": 4}}}}, "sweeps do not warm up"),
        (
            {"search": {"space": {"warmup.epochs": {"int": [1, 9]}}}},
            "warmup.epochs: this key is the same for all trials",
        ),
    ],
)
def test_what_a_warm_up_contradicts_is_an_error(sections: dict[str, Any], because: str) -> None:
    with pytest.raises(ConfigError, match=because):
        built(**{"warmup": {"method": "simclr"}, **sections})


def test_settings_without_a_method_are_an_error_and_give_way_to_an_override() -> None:
    for key in ("epochs", "batch_size", "temperature", "lr"):
        with pytest.raises(ConfigError, match=rf"warmup\.{key}: cannot take effect: warmup.method is none"):
            built(warmup={key: 7})
    warm = built(warmup={"method": "supcon", "epochs": 3, "batch_size": 6})
    assert override(warm, {"warmup.method": "none"}).warmup == built().warmup


def test_a_target_is_used_by_the_warm_up_alone() -> None:
    assert "adapt.target" in {one.key for one in idle(built())}
    warm = built(warmup={"method": "simclr"}, adapt={"target": "t"})
    assert warm.adapt.method == "none" and "adapt.target" not in {one.key for one in idle(warm)}


@pytest.mark.parametrize(
    ("used", "off"),
    [
        ({"warmup": {"method": "simclr"}}, {"warmup.method": "none"}),
        ({"adapt": {"style": {"probability": 0.5}}}, {"adapt.style.probability": 0}),
        ({"adapt": {"method": "adabn"}}, {"adapt.method": "none"}),
    ],
)
def test_a_target_gives_way_to_whichever_override_ends_its_use(used: dict[str, Any], off: dict[str, Any]) -> None:
    one = built(**{**used, "adapt": {"target": "t", **used.get("adapt", {})}})
    assert one.adapt.target == "t" and override(one, off).adapt.target is None
    with pytest.raises(
        ConfigError, match=r"cannot take effect: .*\n?.*remove adapt\.target, or set adapt\.method to auto"
    ):
        override(one, {**off, "adapt.target": "u"})
