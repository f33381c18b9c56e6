"""Settings of this machine are loaded where a user names them, and nowhere else: fetched experiments go through `stored`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import Module, dotted, imports
from tests.architecture.test_floors import parse, sources

LOADER = "raytl.config.load"
READERS = (
    "raytl.config.build",
    "raytl.config.resolve",
    "raytl.config.environment",
    "raytl.config.source",
    "raytl.config.document",
    "yaml",
)
"""What turns text into an experiment or expands variables: the parts of the loader."""
NAMES = ("load_experiment", "load_machine")


def may_load(module: Module) -> bool:
    """True for the command line, the public API, and what turns a user's images into an experiment for both."""
    public = ("raytl", LOADER, "raytl.starter.source")
    return module.name in public or module.name.startswith(("raytl.cli", "raytl.api"))


def loading(module: Module, known: frozenset[str]) -> list[str]:
    """The places in `module` where settings are loaded though nobody named a file there."""
    if may_load(module):
        return []
    lines = [f"{module.where}:{i.line} imports {i.target}" for i in imports(module, known) if i.target == LOADER]
    lines += [f"{module.where}:{line} imports {name}" for name, line in _imported_names(module) if name in NAMES]
    if not module.name.startswith("raytl.config"):
        lines += [
            f"{module.where}:{i.line} imports {i.target}"
            for i in imports(module, known)
            if i.target in READERS and not (i.target == "yaml" and module.name.startswith("raytl.kube"))
        ]
        lines += [f"{module.where}:{line} validates an Experiment" for line in _validated(module)]
    return lines


def _imported_names(module: Module) -> Iterator[tuple[str, int]]:
    for node in module.nodes:
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.name, node.lineno) for alias in node.names)


def _validated(module: Module) -> Iterator[int]:
    """Yield the lines with `Experiment(...)`, `Experiment.model_validate...` or `Machine.model_validate...`."""
    for node in module.nodes:
        is_call = isinstance(node, ast.Attribute) and node.attr.startswith(("model_validate", "model_construct"))
        if is_call and dotted(node.value) in ("Experiment", "Machine"):
            yield node.lineno
        if isinstance(node, ast.Call) and dotted(node.func) == "Experiment":
            yield node.lineno


def test_settings_are_loaded_from_the_command_line_and_the_public_face_alone() -> None:
    found, known = sources()
    lines = [line for module in found for line in loading(module, known)]
    assert not lines, "read what is fetched with raytl.config.stored:\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        ("raytl/retraining/tick.py", "from raytl.config.load import load_experiment", True),
        ("raytl/retraining/tick.py", "def f():\n    from raytl.config import load", True),
        ("raytl/registry/difference.py", "from raytl.config import load_experiment", True),
        ("raytl/evaluation/evaluate.py", "from raytl import load_machine", True),
        ("raytl/config/dump.py", "from raytl.config.load import load_experiment", True),
        ("raytl/search/winner.py", "from raytl.config.environment import interpolate", True),
        ("raytl/search/winner.py", "import yaml", True),
        ("raytl/search/winner.py", "x = Experiment.model_validate({})", True),
        ("raytl/search/winner.py", "x = Experiment(name='x')", True),
        ("raytl/search/winner.py", "x = Recipe.model_validate({})", False),
        ("raytl/evaluation/evaluate.py", "from raytl.config.stored import stored_experiment", False),
        ("raytl/cli/train.py", "from raytl.config.load import load_experiment", False),
    ],
)
def test_loading_elsewhere_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, text: str, wrong: bool
) -> None:
    monkeypatch.setattr("tests.architecture.sources.REPO", tmp_path)
    known = frozenset({LOADER, *READERS})
    assert bool(loading(parse(tmp_path, path, text), known)) is wrong
