"""Nothing outside `raytl.tasks` knows a task: no import from its package, and no text that names it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import Module, imports, read
from tests.architecture.test_floors import sources

PACKAGES = ("classification", "multilabel", "segmentation", "detection", "instances")
IMPORTERS = {"raytl": "the public results of classification"}
"""Modules that may import from the package of a task, with the reason."""
NAMING = {
    ("raytl/models/card.py", "classification"): "cards of raytl 0.1.0 name no task",
    ("raytl/config/schema.py", "classification"): "the task of experiments that name none",
    ("raytl/data/annotations/coco.py", "segmentation"): "a key of COCO's JSON",
    ("raytl/data/targets.py", "instances"): "a kind of stored targets",
}
"""Texts that may name a task, with the reason."""


def outside(modules: tuple[Module, ...]) -> Iterator[Module]:
    """Yield the modules that are not of `raytl.tasks`."""
    yield from (module for module in modules if not f"{module.name}.".startswith("raytl.tasks."))


def task_imports(module: Module, known: frozenset[str]) -> list[str]:
    """Return a line for each import from the package of a task."""
    packages = tuple(f"raytl.tasks.{name}" for name in PACKAGES)
    return [
        f"{module.where}:{found.line} imports {found.target}"
        for found in imports(module, known)
        if found.target.startswith(packages)
    ]


def task_texts(module: Module) -> list[tuple[int, str]]:
    """Return the line and the text of each string that is the name of a task."""
    return [
        (node.lineno, node.value)
        for node in module.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in PACKAGES
    ]


def test_nothing_outside_imports_from_a_task() -> None:
    found, known = sources()
    lines = [line for each in outside(found) if each.name not in IMPORTERS for line in task_imports(each, known)]
    assert not lines, (
        "ask `task_named(...)` for it, or put it behind the contract in raytl/tasks/task.py:\n" + "\n".join(lines)
    )


def test_no_text_outside_names_a_task() -> None:
    lines = [
        f"{module.where}:{line}: {text!r}"
        for module in outside(sources()[0])
        for line, text in task_texts(module)
        if (module.where, text) not in NAMING
    ]
    assert not lines, "put what differs between tasks behind the contract in raytl/tasks/task.py:\n" + "\n".join(lines)


def test_every_exception_is_still_one() -> None:
    found, known = sources()
    named = {(module.where, text) for module in found for _, text in task_texts(module)}
    importers = {module.name for module in found if task_imports(module, known)}
    assert set(NAMING) <= named, f"take these out of NAMING: {set(NAMING) - named}"
    assert set(IMPORTERS) <= importers, f"take these out of IMPORTERS: {set(IMPORTERS) - importers}"


@pytest.mark.parametrize(
    ("text", "imports_one", "names_one"),
    [
        ("from raytl.tasks.detection import scores", True, False),
        ("from raytl.tasks import classification", True, False),
        ("def f():\n    import raytl.tasks.multilabel.task", True, False),
        ("if task == 'segmentation':\n    pass", False, True),
        ("from raytl.tasks.registry import task_named", False, False),
        ("x = 'the detection of edges'", False, False),
    ],
)
def test_a_module_that_knows_a_task_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, imports_one: bool, names_one: bool
) -> None:
    monkeypatch.setattr("tests.architecture.sources.REPO", tmp_path)
    path = tmp_path / "raytl" / "x.py"
    path.parent.mkdir()
    path.write_text(text)
    module = read(path, tmp_path)
    assert bool(task_imports(module, frozenset({"raytl.tasks.classification"}))) is imports_one
    assert bool(task_texts(module)) is names_one
