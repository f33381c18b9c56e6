"""Workers are placed on machines, or the error says why they do not fit."""

from __future__ import annotations

import pytest

from raytl.cluster.placement import Placement, max_cpus_per_worker, min_resources, place, runs_in_process
from raytl.config.schema import ComputeConfig, ElasticWorkers
from raytl.errors import ConfigError

TWO_TO_FOUR = ElasticWorkers(min=2, max=4)


@pytest.mark.parametrize(
    ("machines", "workers", "gpus", "cpus"),
    [
        ([(2, 0)], 1, 0, 2),
        ([(2, 0)], 2, 0, 1),
        ([(2, 0)], 3, 0, 0.66),
        ([(4, 0)], 8, 0, 0.5),
        ([(3, 0), (3, 0)], 7, 0, 0.75),
        ([(5, 0), (2, 0)], 9, 0, 0.71),
        ([(2, 4), (2, 4)], 8, 1, 0.5),
        ([(1, 0), (1, 0)], 1, 0, 1),
        ([(1, 0), (1, 0)], 2, 0, 1),
        ([(8, 0), (4, 0)], 2, 0, 4),
        ([(8, 0), (4, 0)], 3, 0, 4),
        ([(0, 0), (16, 4), (16, 4)], 8, 1, 4),
        ([(4, 0), (16, 2)], 2, 1, 8),
    ],
)
def test_the_cpus_per_worker_are_the_most_with_which_all_fit(
    machines: list[tuple[float, float]], workers: int, gpus: float, cpus: float
) -> None:
    assert max_cpus_per_worker(machines, workers, gpus) == cpus


def test_a_worker_reserves_a_gpu_if_the_cluster_has_any() -> None:
    assert place(ComputeConfig(workers=2), [(8, 2)]) == Placement(2, {"CPU": 4.0, "GPU": 1.0})
    assert place(ComputeConfig(workers=2, device="cpu"), [(8, 2)]) == Placement(2, {"CPU": 4.0})


def test_an_elastic_number_of_workers_is_as_large_as_fits() -> None:
    compute = ComputeConfig(workers=TWO_TO_FOUR)
    assert place(compute, [(1, 0), (2, 0)]) == Placement(3, {"CPU": 1.0})
    assert place(compute, [(16, 0)]) == Placement(4, {"CPU": 1.0})
    assert place(compute, [(4, 0), (4, 0)], free=[(0, 0), (2, 0)]) == Placement(2, {"CPU": 1.0})
    assert place(compute, [(32, 4), (24, 4)]) == Placement(4, {"CPU": 6.0, "GPU": 1.0})
    with pytest.raises(ConfigError, match=r"2 worker\(s\) of 1 CPUs each, but .*; 1 worker\(s\) fit"):
        place(compute, [(8, 0)], free=[(1, 0)])


def test_workers_for_machines_that_have_not_joined_request_a_gpu_and_a_cpu_each() -> None:
    assert min_resources(ComputeConfig(workers=4, device="cuda"), [(2, 0)]) == Placement(4, {"CPU": 1.0, "GPU": 1.0})
    assert min_resources(ComputeConfig(workers=TWO_TO_FOUR, device="cuda"), []) == Placement(
        2, {"CPU": 1.0, "GPU": 1.0}
    )


def test_workers_that_fit_on_no_machine_are_refused_with_the_machines() -> None:
    compute = ComputeConfig(workers=2, cpus_per_worker=3)
    with pytest.raises(
        ConfigError,
        match=r"2 worker\(s\) of 3 CPUs each, but the cluster has 2 machine\(s\) of 4 CPUs, 2 CPUs; 1 worker\(s\) fit",
    ):
        place(compute, [(4, 0), (2, 0)])
    with pytest.raises(ConfigError, match="3 workers need one GPU each, but the cluster has 2"):
        place(ComputeConfig(workers=3, device="cuda"), [(8, 2)])


@pytest.mark.parametrize(
    ("compute", "is_in_process"),
    [
        (ComputeConfig(), True),
        (ComputeConfig(cluster="none"), True),
        (ComputeConfig(cluster="embedded"), False),
        (ComputeConfig(cluster="auto"), False),
        (ComputeConfig(workers=2), False),
        (ComputeConfig.model_validate({"workers": {"min": 1, "max": 2}}), False),
    ],
)
def test_one_worker_on_this_machine_needs_no_ray(compute: ComputeConfig, is_in_process: bool) -> None:
    assert runs_in_process(compute) == is_in_process
