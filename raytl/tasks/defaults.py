"""Complete an experiment with the defaults of its task, and reject what the task cannot apply.

The schema of experiments has one default for each key, which is that of single-label classification. A task states others
in `Task.defaults`; they replace keys that the user did not set. Every verb completes the experiment before it does anything
else, so that stored experiments say what was in force.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import reduce
from typing import Any

from raytl.config.override import with_defaults
from raytl.config.predict import PredictConfig
from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.tasks.registry import task_named
from raytl.tasks.task import Task

_FORMER = PredictConfig(score=0.3)
"""The default of earlier versions, which stored experiments of every task have."""


def completed(experiment: Experiment) -> Experiment:
    """Return `experiment` with the defaults of its task in the keys that are not set; the same object if there are none.

    With `recipe: auto`, the keys that the recipe chooses stay as they are.

    Raises:
        ConfigError: there is no such task, or options that it cannot apply; all of them are listed.
    """
    task = task_named(experiment.task)
    left = task.recipe.keys if experiment.recipe == "auto" else frozenset()
    defaults = {**_unavailable(task), **task.defaults}
    whole = with_defaults(experiment, {key: value for key, value in defaults.items() if key not in left})
    problems = list(_unknown_metrics(whole, task))
    problems += [_useless(key, whole, task) for key, value in _unavailable(task).items() if _value(whole, key) != value]
    if task.limits is None and whole.predict not in (PredictConfig(), _FORMER):
        problems.append(f"predict: {task.name} answers without objects, so nothing is limited; remove this section")
    if problems:
        raise ConfigError("\n".join(problems))
    task.check(whole)
    return whole


def _unknown_metrics(experiment: Experiment, task: Task) -> Iterator[str]:
    used = [("train.metric", experiment.train.metric)]
    used += [("search.metric", name) for name in experiment.search.metrics if not name.startswith("cost/")]
    for key, name in used:
        if name.removeprefix("val/") not in task.metrics:
            yield f"{key}: found {name!r}, which {task.name} does not have; {_advice(name, task)}"


def _advice(name: str, task: Task) -> str:
    names = [f"val/{metric}" for metric in task.metrics]
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names)}"


def _unavailable(task: Task) -> dict[str, Any]:
    """Return the values by dotted key that switch off what `task` does not have."""
    calibrate = {"calibrate": "none"} if task.calibration is None else {}
    return calibrate | ({"transfer.fallback": "off"} if task.head_solver is None else {})


def _useless(key: str, experiment: Experiment, task: Task) -> str:
    off = _unavailable(task)[key]
    return f"{key}: found {_value(experiment, key)!r}, which {task.name} cannot apply; expected {off}. Remove this key"


def _value(experiment: Experiment, key: str) -> Any:
    return reduce(getattr, key.split("."), experiment)
