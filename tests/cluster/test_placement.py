"""Workers fit on machines, or it is said why not."""

from __future__ import annotations

import pytest

from raytl.cluster.placement import most_cpus, worker_resources
from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError


@pytest.mark.parametrize(
    ("machines", "workers", "gpus", "share"),
    [
        ([(2, 0)], 1, 0, 2),
        ([(2, 0)], 2, 0, 1),
        ([(2, 0)], 3, 0, 0.66),
        ([(1, 0), (1, 0)], 1, 0, 1),
        ([(1, 0), (1, 0)], 2, 0, 1),
        ([(8, 0), (4, 0)], 2, 0, 4),
        ([(8, 0), (4, 0)], 3, 0, 4),
        ([(0, 0), (16, 4), (16, 4)], 8, 1, 4),
        ([(4, 0), (16, 2)], 2, 1, 8),
    ],
)
def test_the_share_is_the_largest_with_which_all_fit(
    machines: list[tuple[float, float]], workers: int, gpus: float, share: float
) -> None:
    assert most_cpus(machines, workers, gpus) == share


def test_a_worker_reserves_a_gpu_where_there_are_some() -> None:
    assert worker_resources(ComputeConfig(workers=2), [(8, 2)]) == {"CPU": 4.0, "GPU": 1.0}
    assert worker_resources(ComputeConfig(workers=2, device="cpu"), [(8, 2)]) == {"CPU": 4.0}


def test_workers_that_fit_on_no_machine_are_refused_with_the_machines() -> None:
    asked = ComputeConfig(workers=2, cpus_per_worker=3)
    with pytest.raises(
        ConfigError, match=r"2 workers of 3 CPUs each; the cluster has 2 machine\(s\) of 4 CPUs, 2 CPUs, which hold 1"
    ):
        worker_resources(asked, [(4, 0), (2, 0)])
    with pytest.raises(ConfigError, match="3 workers need one GPU each; the cluster has 2"):
        worker_resources(ComputeConfig(workers=3, device="cuda"), [(8, 2)])
