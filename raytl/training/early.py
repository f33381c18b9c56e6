"""A run's workers, started before this process imports torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from raytl.cluster.early import started_early
from raytl.config.schema import Experiment
from raytl.run.folder import RunFolder


@contextlib.contextmanager
def early_workers(experiment: Experiment) -> Iterator[None]:
    """Start the workers of a run that is not finished, for the `train` inside the block: they import while it plans."""
    if RunFolder.of(experiment).finished:
        yield
        return
    with started_early(experiment.compute, "raytl.training.worker"):
        yield
