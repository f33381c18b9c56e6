"""The experiment that trains a challenger: the one on file with the champion's recipe, and the weights to start from."""

from __future__ import annotations

from typing import Any

from raytl.config.override import override
from raytl.config.schema import Experiment, Recipe

_RECIPE = ("model", "transfer", "augment", "optim", "train", "auxiliary")


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
    """Return the experiment that trains the challenger `name` on exactly the images of `split_file`.

    It starts from the version that `start` names (None: from the file's model.weights). `turn` makes its seed differ from
    those of earlier trainings.
    """
    base = experiment
    if champion is not None and experiment.retrain.how.recipe == "champion":
        base = experiment.model_copy(update={section: getattr(champion, section) for section in _RECIPE})
    values: dict[str, Any] = {
        "name": name,
        "data.split_file": split_file,
        "data.snapshot": snapshot,
        "labels.noise": "none",  # the tick ranked the labels, and its split file lacks those that it leaves out
        "train.seed": (experiment.train.seed + turn) % 2**31,
    }
    if start is None or champion is None or champion.model.name != base.model.name:
        values |= {"model.weights": experiment.model.weights, "transfer.head_start": experiment.transfer.head_start}
    else:
        values |= {"model.weights": start, "transfer.head_start": "weights"}
        if experiment.warmup.method != "none":
            values["warmup.method"] = "none"  # the champion learned from a warm-up
        if experiment.recipe == "auto" and "head_first" not in experiment.transfer.model_fields_set:
            values["transfer.head_first"] = 0  # the head is trained already
    return override(base, values)
