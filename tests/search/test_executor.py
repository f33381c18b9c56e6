"""How the driver of a sweep shares a machine with its trials."""

from __future__ import annotations

import pytest

from raytl.search.executor import TrialExecutor
from raytl.search.plan import TrialShape
from raytl.training.job import TrainJob
from tests.search.conftest import MakeSweep


@pytest.mark.parametrize(
    ("cluster", "gpus", "device"),
    [("local", 1.0, "cpu"), ("auto", 0.25, "cpu"), ("none", 1.0, "auto"), ("local", 0.0, "auto")],
)
def test_the_gpus_are_left_to_trials_that_run_meanwhile(
    cluster: str, gpus: float, device: str, make_sweep: MakeSweep
) -> None:
    sweep = TrainJob(make_sweep({"compute.device": "auto"}), "trials", (), (), ())
    executor = TrialExecutor(cluster, TrialShape(1, 2.0, gpus), limit=4)
    assert executor.beside_trials(sweep).experiment.compute.device == device
    assert sweep.experiment.compute.device == "auto"
