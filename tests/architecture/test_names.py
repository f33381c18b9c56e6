"""Names follow the glossary: one name for one thing, and docstrings open with a verb or with the noun that is returned."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import Module, modules
from tests.architecture.vocabulary import NAMES

_ORDINARY = {
    ("raytl/home.py", "home"),  # the user's home folder
    ("raytl/store/cache.py", "home"),
    ("raytl/data/duplicates.py", "kept"),  # beside dropped
    ("raytl/registry/cleaning.py", "kept"),  # beside orphans and deleted
    ("raytl/config/synthetic.py", "share"),  # of a batch
}
"""Where a retired name is the ordinary word for what it names."""

_RIDDLE = re.compile(r"(What|Who|Whose|How|That|Whether|Where|When|Which|Why|Those|One (that|who))\b")


def snake(name: str) -> str:
    """Return `name` in snake case, without leading underscores."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")


def named(module: Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of all that the module defines: itself, its classes, functions, arguments and variables."""
    yield 1, module.path.stem
    for node in module.nodes:
        match node:
            case ast.Name(ctx=ast.Store(), id=name) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


def retired(module: Module) -> Iterator[str]:
    """Yield a line for each name of the module that the glossary retired."""
    for line, name in named(module):
        if snake(name) in NAMES and (module.where, snake(name)) not in _ORDINARY:
            yield f"{module.where}:{line}: {name}; name it {NAMES[snake(name)]}"


def riddles(module: Module) -> Iterator[str]:
    """Yield a line for each docstring of the module that opens with a question word."""
    for node in module.nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if _RIDDLE.match(text):
                yield f"{module.where}:{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"


def _module(source: str, name: str = "raytl/example.py") -> Module:
    from tests.architecture.sources import REPO

    return Module(REPO / name, name, ast.parse(source))


def test_no_name_is_retired() -> None:
    lines = [line for module in modules("raytl") for line in retired(module)]
    assert not lines, "\n" + "\n".join(lines)


def test_docstrings_open_with_a_verb_or_a_noun() -> None:
    lines = [line for module in modules("raytl") for line in riddles(module)]
    assert not lines, "\n" + "\n".join(lines)


@pytest.mark.parametrize(
    "source",
    [
        "found = 1",
        "def crown() -> None: ...",
        "class GangRun: ...",
        "def f(told: int) -> None: ...",
        "class Engine: ...",
    ],
)
def test_a_retired_name_is_found(source: str) -> None:
    assert list(retired(_module(source)))


def test_a_retired_module_name_is_found() -> None:
    assert list(retired(_module("", "raytl/search/board.py")))


def test_a_docstring_that_opens_with_a_question_is_found() -> None:
    assert list(riddles(_module('def f() -> int:\n    """What a trial returns."""')))
