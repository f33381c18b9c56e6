from __future__ import annotations

import pytest

from raytl.batch_inference.sizing import Sizing, sizing
from raytl.cluster.placement import Size
from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError

MANY = 10_000
CLUSTERS: list[list[Size]] = [
    [(1, 0)], [(2, 0)], [(3, 0)], [(4, 0)], [(16, 0)], [(4, 0), (2, 0)], [(1, 0), (1, 0)], [(8, 1)], [(8, 4)], [(2, 2)], [(96, 8), (96, 8)],
]  # fmt: skip


def placed(wanted: Sizing, machines: list[Size]) -> int:
    """Return how many of the actors fit, each on one machine."""
    return sum(
        min(int(cpus // wanted.cpus), int(gpus // wanted.gpus) if wanted.gpus else MANY) for cpus, gpus in machines
    )


@pytest.mark.parametrize("machines", CLUSTERS, ids=str)
@pytest.mark.parametrize("workers", [None, 1, 2, 4])
@pytest.mark.parametrize("parts", [1, 3, MANY])
def test_what_is_asked_for_can_always_be_placed(machines: list[Size], workers: int | None, parts: int) -> None:
    if (workers or 1) > sum(gpus or cpus for cpus, gpus in machines):
        with pytest.raises(ConfigError, match="do not fit"):
            sizing(ComputeConfig(), workers, machines, parts)
        return
    wanted = sizing(ComputeConfig(), workers, machines, parts)
    assert 1 <= wanted.actors <= min(parts, placed(wanted, machines))
    assert wanted.cpus == int(wanted.cpus) >= wanted.threads >= 1
    assert wanted.actors == min(parts, workers or placed(wanted, machines))


@pytest.mark.parametrize(
    ("machines", "workers", "expected"),
    [
        ([(1, 0)], None, Sizing(1, 1)),
        ([(2, 0)], 2, Sizing(2, 1)),
        ([(4, 0)], 2, Sizing(2, 2)),
        ([(4, 0)], 3, Sizing(3, 1)),
        ([(16, 0)], 4, Sizing(4, 4)),
        ([(16, 1)], None, Sizing(1, 16, 1)),
        ([(16, 4)], None, Sizing(4, 4, 1)),
        ([(16, 4), (8, 0)], None, Sizing(4, 4, 1)),
        ([(0.5, 0)], None, ConfigError),
        ([], None, ConfigError),
    ],
)
def test_actors_for_machines(machines: list[Size], workers: int | None, expected: Sizing | type[ConfigError]) -> None:
    if isinstance(expected, Sizing):
        assert sizing(ComputeConfig(), workers, machines, MANY) == expected
        return
    with pytest.raises(expected, match="1 actor of 1 CPU each do not fit"):
        sizing(ComputeConfig(), workers, machines, MANY)


def test_gpus_are_left_alone_on_the_cpu() -> None:
    assert sizing(ComputeConfig(device="cpu"), None, [(4, 2)], MANY).gpus == 0


def test_cuda_without_a_gpu_and_more_workers_than_gpus_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"1 actor of 1 CPU and a GPU each .*4 CPUs, where 0 fit.* or --device cpu"):
        sizing(ComputeConfig(device="cuda"), None, [(4, 0)], MANY)
    with pytest.raises(ConfigError, match=r"where 2 fit\. Use --workers 2 at most"):
        sizing(ComputeConfig(), 3, [(8, 2)], MANY)


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_are_refused(workers: int) -> None:
    with pytest.raises(ConfigError, match=f"--workers: found {workers}, expected 1 or more"):
        sizing(ComputeConfig(), workers, [(4, 0)], MANY)


def test_the_cpus_of_an_actor_may_be_set() -> None:
    assert sizing(ComputeConfig(cpus_per_worker=1), None, [(4, 0)], MANY) == Sizing(4, 1)
    half = sizing(ComputeConfig(cpus_per_worker=0.5), None, [(2, 0)], MANY)
    assert (half.actors, half.threads) == (4, 1)
    with pytest.raises(ConfigError, match="1 actor of 8 CPUs each do not fit"):
        sizing(ComputeConfig(cpus_per_worker=8), None, [(4, 0)], MANY)
