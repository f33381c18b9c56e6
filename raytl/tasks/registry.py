"""Look up a task by its name: those of raytl, and those that other packages declare as entry points.

A package adds a task with an entry point in the group `raytl.tasks`, whose name is that of the task and whose value is an
object that fulfills `raytl.tasks.task.Task`. A name in an experiment, a run or a model card chooses among these only.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from raytl.errors import ConfigError
from raytl.tasks.task import Task

GROUP = "raytl.tasks"
"""The entry-point group of tasks."""
_BUILT_IN = ("classification", "multilabel", "segmentation", "detection", "instances")


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, raytl's own first."""
    return (*_BUILT_IN, *sorted(name for name in _plugins() if name not in _BUILT_IN))


@cache
def task_named(name: str) -> Task:
    """Return the task `name`.

    Raises:
        ConfigError: there is no such task, or its package fails to load.
    """
    if name in _BUILT_IN:
        task: Task = import_module(f"raytl.tasks.{name}").TASK
        return task
    if name in (plugins := _plugins()):
        return _loaded(plugins[name])
    near = difflib.get_close_matches(name, task_names(), n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(task_names())}"
    raise ConfigError(f"task: there is no task {name!r}; {advice}")


def _plugins() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _loaded(point: EntryPoint) -> Task:
    try:
        task: Task = point.load()
    except Exception as error:  # the package of someone else may fail in any way
        raise ConfigError(
            f"task: {point.name} ({point.value}) cannot be loaded ({type(error).__name__}: {error}); "
            "repair or reinstall its package"
        ) from error
    return task
