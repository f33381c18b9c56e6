"""`few.method` beside other keys."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.labelling.settings import KEYS, searched_settings

BOTH = {"uri": "own/", "unlabelled": "all/"}
SPACE = {"space": {"few.method": {"choice": ["none", "pseudo"]}}}


def made(**keys: Any) -> Experiment:
    return Experiment(**{"name": "x", "data": BOTH, "model": "m", **keys})


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"data": "own/", "few": {"method": "pseudo"}}, r"few\.method: found pseudo, and data\.unlabelled is null"),
        ({"data": "own/", "search": SPACE}, r"found pseudo, and data\.unlabelled is null"),
        ({"search": {**SPACE, "folds": 3}}, r"found pseudo, and search\.folds 3: the labels that it gives would come"),
        (
            {"few": {"method": "auto"}, "model": {"name": "m", "weights": "none"}},
            r"found auto, and model\.weights is none: features of a random network",
        ),
        ({"few": {"fraction": 0.5}}, r"few\.fraction: cannot take effect: few\.method is none"),
        (
            {"search": {"space": {"few.fraction": {"float": [0.1, 0.5]}}}},
            r"few\.fraction: this key is the same for all trials",
        ),
    ],
)
def test_contradictions_are_errors(keys: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        made(**keys)


def test_a_searched_method_may_have_its_share() -> None:
    experiment = made(few={"fraction": 0.5}, search=SPACE)
    few = KEYS.index("few.method")
    assert {settings[few] for settings in searched_settings(experiment)} == {"none", "pseudo"}
    assert override(experiment, {"few.method": "pseudo"}).few.fraction == 0.5
