"""Rules of steps that take several sources of images: few.method: fixmatch, adapt.method: coral, mmd or dann, data.synthetic."""

from __future__ import annotations

from collections.abc import Iterator

from raytl.config.adapt import IN_TRAINING
from raytl.config.conflict import Conflict, Idle
from raytl.config.fixmatch import FIXMATCH
from raytl.config.schema import Experiment, Recipe


def source_conflicts(experiment: Experiment) -> Iterator[Conflict]:
    """Yield what makes such a step impossible."""
    transfer, train = experiment.transfer, experiment.train
    for key, method in _methods(experiment):
        if train.compile:
            yield Conflict(
                ("train.compile", key),
                f"found true, and {key} is {method}: a step of several sources is not compiled",
                f"set train.compile to false, or {key} to none",
            )
        if key == "adapt.method" and transfer.unfreeze == 0:
            yield Conflict(
                (key, "transfer.unfreeze"),
                f"found {method}, and transfer.unfreeze is 0: no stage is trained, so its loss moves nothing",
                "set transfer.unfreeze to 1 or more, or adapt.method to adabn, centroids or none",
            )
    count = round(train.batch_size * experiment.data.synthetic.share)
    if (
        experiment.data.synthetic.uri is not None
        and experiment.data.synthetic.share
        and not 0 < count < train.batch_size
    ):
        yield Conflict(
            ("data.synthetic.share", "train.batch_size"),
            f"found {experiment.data.synthetic.share:g}, which is {count} images of a train.batch_size of {train.batch_size}; "
            "expected at least one made and one real image",
            "choose another share, or larger batches",
        )


def idle_sources(recipe: Recipe) -> Iterator[Idle]:
    """Yield the keys of such steps that no method uses."""
    if recipe.data.synthetic.uri is None:
        because, advice = "data.synthetic.uri is not set, so there are no made images", "set data.synthetic.uri"
        yield Idle("data.synthetic.share", "data.synthetic.uri", because, f"{advice}, or remove this key")
    few, adapt = recipe.few.method, recipe.adapt.method
    if few != FIXMATCH:
        for name in ("ratio", "threshold", "weight"):
            advice = "set few.method to fixmatch, or remove this key"
            yield Idle(f"few.fixmatch.{name}", "few.method", f"few.method is {few}", advice)
    if adapt not in IN_TRAINING:
        advice = "set adapt.method to coral, mmd or dann, or remove this key"
        yield Idle("adapt.weight", "adapt.method", f"adapt.method is {adapt}", advice)


def _methods(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield the key and the value of each method of the experiment that adds sources to a step."""
    if experiment.few.method == FIXMATCH:
        yield "few.method", FIXMATCH
    if experiment.adapt.method in IN_TRAINING:
        yield "adapt.method", experiment.adapt.method
