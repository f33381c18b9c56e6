"""Tasks by name: those of raytl, and those that other packages declare."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.tasks import registry
from raytl.tasks.classification.task import Classification
from raytl.tasks.registry import task_named, task_names


class Brightness(Classification):
    """A task of another package."""

    name = "brightness"


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two packages that declare a task: one that loads, one that does not."""
    module = ModuleType("other_package")
    vars(module)["TASK"] = Brightness()
    monkeypatch.setitem(sys.modules, "other_package", module)
    points = [
        EntryPoint("classification", "not_raytls_own:TASK", registry.GROUP),
        EntryPoint("depth", "a_package_that_is_gone:TASK", registry.GROUP),
        EntryPoint("brightness", "other_package:TASK", registry.GROUP),
    ]

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    task_named.cache_clear()
    yield
    task_named.cache_clear()


@pytest.mark.parametrize("name", [name for name in task_names() if name in registry._BUILT_IN])
def test_each_task_of_raytl_has_its_name_and_metrics(name: str) -> None:
    task = task_named(name)
    assert task.name == name
    assert task.metrics and task.tie_breaker
    assert len(set(task.metrics)) == len(task.metrics)


def test_the_default_of_an_experiment_is_a_task() -> None:
    assert task_named(Experiment.model_fields["task"].default).name in task_names()


def test_an_unknown_name_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"^task: there is no task 'clasification'; did you mean 'classification'\?$"):
        task_named("clasification")


def test_an_unknown_name_near_no_other_is_an_error_with_all_names() -> None:
    with pytest.raises(ConfigError, match=r"^task: there is no task 'xyz'; expected classification\b"):
        task_named("xyz")


@pytest.mark.usefixtures("plugins")
def test_a_package_adds_a_task_by_an_entry_point() -> None:
    assert task_names() == (*registry._BUILT_IN, "brightness", "depth")
    assert isinstance(task_named("brightness"), Brightness)
    with pytest.raises(ConfigError, match="did you mean 'brightness'"):
        task_named("brightnes")


@pytest.mark.usefixtures("plugins")
def test_a_package_does_not_replace_a_task_of_raytl() -> None:
    assert type(task_named("classification")) is Classification


@pytest.mark.usefixtures("plugins")
def test_a_package_that_fails_to_load_is_an_error_that_names_it() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^task: depth \(a_package_that_is_gone:TASK\) cannot be loaded \(ModuleNotFoundError: .*reinstall its package$",
    ):
        task_named("depth")
