"""Sweeps and warm-ups."""

from __future__ import annotations

import pytest

from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.events import ignore
from raytl.search.inputs import sweep_inputs


def test_a_sweep_does_not_warm_up_and_says_where_to_start_instead() -> None:
    experiment = Experiment(name="a", data="nowhere", model="m", warmup={"method": "supcon"})
    with pytest.raises(ConfigError, match="found supcon; a sweep does not warm up.*model.weights: RUN/warmup"):
        sweep_inputs(experiment, ignore)
