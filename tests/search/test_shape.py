"""The number of concurrent trials."""

from __future__ import annotations

import pytest

from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError
from raytl.search.plan import TrialShape
from raytl.search.shape import Node, fitting, runs_here, trial_shape


@pytest.mark.parametrize(
    ("compute", "nodes", "shape", "concurrency"),
    [
        ({}, [Node(2, 0)], TrialShape(1, 1, 0), 2),
        ({"cpus_per_worker": 2}, [Node(2, 0)], TrialShape(1, 2, 0), 1),
        ({"workers": 2}, [Node(4, 0)], TrialShape(2, 1, 0), 2),
        ({}, [Node(16, 4)], TrialShape(1, 4, 1), 4),
        ({"trial_gpus": 0.25}, [Node(16, 4)], TrialShape(1, 1, 0.25), 16),
        ({"device": "cpu"}, [Node(16, 4)], TrialShape(1, 1, 0), 16),
        ({"workers": 4}, [Node(8, 2), Node(8, 2)], TrialShape(4, 4, 1), 1),
        ({"cpus_per_worker": 3}, [Node(4, 0), Node(4, 0)], TrialShape(1, 3, 0), 2),
    ],
)
def test_shape_and_concurrency(
    compute: dict[str, object], nodes: list[Node], shape: TrialShape, concurrency: int
) -> None:
    actual = trial_shape(ComputeConfig.model_validate(compute), nodes)
    assert actual == shape
    assert fitting(actual, nodes).concurrency == concurrency


def test_a_trial_that_does_not_fit_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(ConfigError, match=r"needs 4 worker\(s\) of 1 CPU each; 1 node\(s\) with 2 CPUs hold 2"):
        fitting(TrialShape(4, 1, 0), [Node(2, 0)])


@pytest.mark.parametrize(
    ("compute", "machine", "here"),
    [
        ({}, Node(1, 0), True),
        ({}, Node(2, 0), False),
        ({}, Node(16, 1), True),
        ({}, Node(16, 2), False),
        ({"trial_gpus": 0.5}, Node(16, 1), False),
        ({"cpus_per_worker": 2}, Node(2, 0), True),
        ({"cluster": "embedded"}, Node(1, 0), False),
        ({"cluster": "auto"}, Node(1, 0), False),
        ({"workers": 2}, Node(2, 0), False),
        ({"cluster": "none"}, Node(64, 1), True),
    ],
)
def test_trials_that_run_one_at_a_time_on_this_machine_need_no_ray(
    compute: dict[str, object], machine: Node, here: bool
) -> None:
    assert runs_here(ComputeConfig.model_validate(compute), machine) == here
