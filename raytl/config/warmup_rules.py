"""Rules of the warm-up across keys."""

from __future__ import annotations

from collections.abc import Iterator

from raytl.config.conflict import Conflict, Idle
from raytl.config.schema import Experiment, Recipe

_KEYS = ("epochs", "batch_size", "temperature", "lr")


def warmup_conflicts(experiment: Experiment) -> Iterator[Conflict]:
    """Yield what makes the warm-up impossible."""
    warmup, workers = experiment.warmup, experiment.compute.max_workers
    if warmup.method == "none":
        return
    if experiment.transfer.unfreeze == 0:
        yield Conflict(
            ("warmup.method", "transfer.unfreeze"),
            f"found {warmup.method}, and transfer.unfreeze is 0: no stage is trained, so nothing would learn",
            "set transfer.unfreeze to 1 or more, or warmup.method to none",
        )
    if experiment.transfer.head_start == "weights":
        yield Conflict(
            ("warmup.method", "transfer.head_start"),
            f"found {warmup.method}, and transfer.head_start is weights: that head belongs to the features before the warm-up",
            "set transfer.head_start to zero or solved, or warmup.method to none",
        )
    if warmup.batch_size < 2 * workers:
        yield Conflict(
            ("warmup.batch_size", "compute.workers"),
            f"found {warmup.batch_size}, and compute.workers is {workers}: each worker needs two images of a batch",
            f"warmup.batch_size is over all workers; set it to {2 * workers} or more",
        )
    if experiment.retrain.how.search_again is not None:
        yield Conflict(
            ("warmup.method", "retrain.how.search_again"),
            f"found {warmup.method}, and retrain.how.search_again is set: sweeps do not warm up",
            "remove retrain.how.search_again, or set warmup.method to none",
        )


def idle_warmup(recipe: Recipe) -> Iterator[Idle]:
    """Yield the keys of the section that have no effect without a method."""
    if recipe.warmup.method == "none":
        for name in _KEYS:
            advice = "set warmup.method to simclr or supcon, or remove this key"
            yield Idle(f"warmup.{name}", "warmup.method", "warmup.method is none", advice)
