"""What raytl exports: documented, frozen, closed under its own types, and typed for users."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import subprocess
import sys
import types
import typing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import raytl
from tests.api import user_script
from tests.architecture.sources import REPO

FUNCTIONS = [name for name in raytl.__all__ if inspect.isfunction(getattr(raytl, name))]
CLASSES = [name for name in raytl.__all__ if inspect.isclass(getattr(raytl, name))]
RESULTS = ("Run", "Sweep", "Trial", "Report", "Predictor", "Prediction", "Predictions")


def types_in(hint: Any) -> set[type]:
    """Return the classes of raytl that a type hint names."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return {hint} if hint.__module__.startswith("raytl") else set()
    return {found for part in typing.get_args(hint) for found in types_in(part)}


def hints_of(thing: Any) -> list[Any]:
    """Return the type hints of a function, or of a class's public fields, properties and methods."""
    everything = sys.modules[thing.__module__].__dict__ | vars(raytl) | {n: getattr(raytl, n) for n in raytl.__all__}
    if not inspect.isclass(thing):
        return list(typing.get_type_hints(thing, everything).values())
    members = [
        value.fget if isinstance(value, property) else value for name, value in vars(thing).items() if name[0] != "_"
    ]
    members = [member.__func__ if isinstance(member, classmethod) else member for member in members]
    hints = [hint for m in members if isinstance(m, types.FunctionType) for hint in hints_of(m)]
    fields = typing.get_type_hints(thing, everything)
    return hints + [hint for name, hint in fields.items() if not name.startswith("_")]


def test_the_lists_of_names_agree() -> None:
    source = ast.parse(Path(raytl.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("raytl.")
        for alias in node.names
    }
    assert typed == raytl._WHERE
    assert sorted(typed) == sorted(raytl.__all__) == raytl.__all__
    assert set(raytl.__all__) <= set(dir(raytl))


@pytest.mark.parametrize("name", [*FUNCTIONS, *RESULTS])
def test_every_type_that_the_api_takes_or_returns_is_exported(name: str) -> None:
    found = {cls for hint in hints_of(getattr(raytl, name)) for cls in types_in(hint)}
    events = {cls for cls in found if cls.__module__ == "raytl.events"}
    hidden = {cls.__name__ for cls in found - events} - set(raytl.__all__)
    assert not hidden


@pytest.mark.parametrize("name", CLASSES)
def test_every_exported_class_is_frozen_and_documented(name: str) -> None:
    cls = getattr(raytl, name)
    assert inspect.getdoc(cls)
    if issubclass(cls, BaseModel):
        assert cls.model_config["frozen"]
    elif not issubclass(cls, Exception) and not typing.is_typeddict(cls):
        assert dataclasses.is_dataclass(cls)
        assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_documented(name: str) -> None:
    first = (inspect.getdoc(getattr(raytl, name)) or "").split(" ")[0]
    assert first in {"Return", "Fine-tune", "Search", "Run", "Score", "Load", "Serve", "Choose", "Store"}


def test_a_name_that_raytl_does_not_have_is_an_error() -> None:
    with pytest.raises(
        AttributeError, match="module 'raytl' has no attribute 'fly'; it has AccuracyInUse, Advice, AppliedFixes"
    ):
        _ = raytl.fly  # type: ignore[attr-defined]


def test_an_experiment_is_made_without_torch_or_ray() -> None:
    code = (
        "import sys, raytl; raytl.Experiment(name='x', data='p', model='m'); raytl.Run; raytl.load_experiment; "
        "print(*({'torch', 'ray', 'timm', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_package_says_that_it_is_typed() -> None:
    assert resources.files("raytl").joinpath("py.typed").is_file()


def test_lint_checks_the_types_of_a_users_script() -> None:
    """`mypy --strict raytl` has parsed and checked most of it: a process of its own would do so again, in half a minute."""
    rules = (REPO / "Makefile").read_text(encoding="utf-8")
    script = Path(user_script.__file__).relative_to(REPO).as_posix()
    assert f"mypy --strict raytl {script}\n" in rules
    wrong = [line for line in inspect.getsource(user_script).splitlines() if "# type: ignore[arg-type]" in line]
    assert len(wrong) == 2
