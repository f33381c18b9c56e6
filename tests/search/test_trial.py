"""What the trials of a sweep have in common reaches each of them."""

from __future__ import annotations

from raytl.config.schema import Experiment
from raytl.data.bit_depth import BitDepth
from raytl.search.trial import SweepJob, Task


def test_all_trials_read_images_by_the_sweeps_bit_depth() -> None:
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "photos"}, "model": {"name": "test_resnet"}})
    sweep = SweepJob(experiment, "trials", (), (), ("a", "b"), bit_depth=BitDepth(12))
    task = Task(0, {"transfer.unfreeze": 1})
    assert sweep.job_of(task, sweep.experiment_of(task)).bit_depth == BitDepth(12)
