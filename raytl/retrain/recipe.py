"""The experiment that makes a challenger: the one on file, the champion's recipe in it, and where it starts from."""

from __future__ import annotations

from typing import Any

from raytl.config.override import override
from raytl.config.schema import Experiment, Recipe

_RECIPE = ("model", "transfer", "augment", "optim", "train")


def challenger_experiment(
    experiment: Experiment,
    champion: Recipe | None,
    *,
    name: str,
    start: str | None,
    split_file: str,
    snapshot: str,
    turn: int,
) -> Experiment:
    """What trains the challenger `name` on exactly the images of `sides`, from the version that `start` names (None: from
    model.weights of the file). `turn` makes its seed another one than that of the trainings before."""
    taken = experiment
    if champion is not None and experiment.retrain.how.recipe == "champion":
        taken = experiment.model_copy(update={section: getattr(champion, section) for section in _RECIPE})
    values: dict[str, Any] = {
        "name": name,
        "data.split_file": split_file,
        "data.snapshot": snapshot,
        "train.seed": (experiment.train.seed + turn) % 2**31,
    }
    if start is None or champion is None or champion.model.name != taken.model.name:
        values |= {"model.weights": experiment.model.weights, "transfer.head_start": experiment.transfer.head_start}
    else:
        values |= {"model.weights": start, "transfer.head_start": "weights"}
    return override(taken, values)
