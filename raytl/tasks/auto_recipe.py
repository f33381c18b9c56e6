"""Fill an experiment with what `recipe: auto` chooses for its data, and keep what was chosen beside the run.

The choice itself is a pure function of facts that each task states (`Task.recipe`). A resolved experiment has every value and
`recipe: none`, so a trial, a resumed run and a rerun choose nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Annotated, Any

from raytl.config.choice import Choice
from raytl.config.override import override, with_defaults
from raytl.config.schema import Experiment
from raytl.errors import RunError
from raytl.run.atomic import write_json
from raytl.stored import Format
from raytl.stored.bounds import Name, at_most
from raytl.tasks.registry import task_named

FILE = "recipe.json"
"""What was chosen for a run or a sweep, in its folder."""


@dataclass(frozen=True, slots=True)
class _StoredChoice:
    key: Name
    value: bool | int | float | str | None
    why: str


@dataclass(frozen=True, slots=True)
class StoredRecipe:
    """The choices of a run, in order."""

    choices: Annotated[tuple[_StoredChoice, ...], at_most(200, "choices")]


RECIPE_FORMAT = Format[StoredRecipe](
    StoredRecipe, "what the recipe chose", "Restore it, or start over with --new.", RunError, max_bytes=1 << 20
)


def given(experiment: Experiment) -> Mapping[str, Any]:
    """Return the values that are set, by dotted key."""
    return dict(_flat(experiment.model_dump(exclude_unset=True), ""))


def is_open(experiment: Experiment) -> bool:
    """Return True if the recipe has something to choose."""
    return experiment.recipe == "auto" and bool(task_named(experiment.task).recipe.keys - given(experiment).keys())


def resolved(experiment: Experiment, choices: Sequence[Choice]) -> tuple[Experiment, tuple[Choice, ...]]:
    """Return `experiment` with `choices` in the keys that are not set, and those that took effect."""
    task = task_named(experiment.task)
    own = given(experiment)
    free = {one.key: one.value for one in choices if one.key in task.recipe.keys and one.key not in own}
    whole = override(with_defaults(experiment, free), {"recipe": "none"})
    after = given(whole)
    return whole, tuple(one for one in choices if one.key in free and after.get(one.key) == one.value)


def write_choices(folder: Path, choices: Sequence[Choice]) -> None:
    """Write what was chosen to the folder of a run or a sweep."""
    write_json(folder / FILE, {"choices": [asdict(one) for one in choices]})


def stored_choices(folder: Path) -> tuple[Choice, ...]:
    """Return what was chosen for the run or sweep in `folder`, with the reasons; nothing if there is no record.

    Raises:
        RunError: the record is damaged.
    """
    path = folder / FILE
    return tuple(Choice(*astuple(one)) for one in RECIPE_FORMAT.load(path).choices) if path.exists() else ()


def adopted(folder: Path, experiment: Experiment) -> Experiment:
    """Return `experiment` with what was chosen when the run or sweep in `folder` began; as it is if none began there.

    One without a record of choices began with the fixed defaults.

    Raises:
        RunError: the record is damaged.
    """
    path = folder / FILE
    if experiment.recipe == "none" or not (path.exists() or (folder / "experiment.yaml").exists()):
        return experiment
    if not path.exists():
        fixed = with_defaults(experiment, task_named(experiment.task).defaults)
        return resolved(fixed, ())[0]
    return resolved(experiment, stored_choices(folder))[0]


def _flat(values: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        pairs.append((f"{prefix}{key}", value))
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{key}.")
    return pairs
