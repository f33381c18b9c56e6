"""A sweep's Ray and the processes of its trials, started before this process imports torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from raytl.cluster.background import session_in_background
from raytl.cluster.session import Prestart
from raytl.config.schema import ComputeConfig, Experiment
from raytl.errors import ConfigError
from raytl.search.shape import fitting, runs_here, this_machine, trial_shape
from raytl.search.summary import SUMMARY, sweep_root

_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd")
"""Files of NVIDIA's and AMD's drivers. How many GPUs there are, and so how many trials run at once, torch will say."""
_MODULES = ("raytl.search.trial_process",)


@contextlib.contextmanager
def early_trials(experiment: Experiment, *, again: bool = False) -> Iterator[None]:
    """Start what the trials of a sweep need on this machine, for the `tune` inside the block; not if it is finished, unless
    `again` starts it over or adds trials."""
    is_finished = not again and (sweep_root(experiment) / SUMMARY).exists()
    prestart = None if is_finished else trial_processes(experiment)
    with session_in_background(experiment.compute.cluster, prestart) if prestart else contextlib.nullcontext():
        yield


def trial_processes(experiment: Experiment) -> Prestart | None:
    """Return the processes of the trials; None if no Ray is started here, or their number is not known without torch.

    None with a budget of time too: their imports would disturb the measurement of the plan that is compared with it.
    """
    compute, budget = experiment.compute, experiment.search.budget
    is_timed = budget.wall is not None or budget.gpu_hours is not None
    if compute.cluster != "local" or compute.workers != 1 or is_timed or _may_use_gpus(compute):
        return None
    machine = this_machine(gpus=0)
    with contextlib.suppress(ConfigError):  # no trial fits: the plan says so
        if not runs_here(compute, machine):
            shape = trial_shape(compute, [machine])
            count = min(fitting(shape, [machine]).concurrency, experiment.search.trials)
            return Prestart(count, _MODULES, threads=max(1, int(shape.cpus)))
    return None


def _may_use_gpus(compute: ComputeConfig) -> bool:
    return compute.device != "cpu" and any(Path(file).exists() for file in _GPU_DRIVERS)
