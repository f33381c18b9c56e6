"""The house rules that a program can hold: sizes, docstrings, declared dependencies, tests that say what they expect."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

import pytest

from tests.architecture.sources import REPO, Module, dotted, functions, imports, modules

MOST_LINES = 400
MOST_FUNCTION_LINES = 60

# the import names of distributions that are named otherwise
IMPORT_NAMES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn", "mlflow-skinny": "mlflow"}

# errors that carry no text
TEXTLESS = ("KeyboardInterrupt", "SystemExit", "StopIteration")

FOLDERS = ("raytl", "tests", "experiments", "docs")


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_is_longer_than_400_lines(folder: str) -> None:
    long = [f"{module.where}: {module.lines} lines" for module in modules(folder) if module.lines > MOST_LINES]
    assert not long, "split by idea:\n" + "\n".join(long)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_function_is_longer_than_60_lines(folder: str) -> None:
    long = [
        f"{module.where}:{function.lineno} {function.name}: {lines} lines"
        for module in modules(folder)
        for function in functions(module)
        if (lines := (function.end_lineno or function.lineno) - function.lineno + 1) > MOST_FUNCTION_LINES
    ]
    assert not long, "\n" + "\n".join(long)


def test_every_module_and_public_name_has_a_docstring() -> None:
    bare = [line for module in modules("raytl") for line in undocumented(module)]
    assert not bare, "\n" + "\n".join(bare)


def undocumented(module: Module) -> list[str]:
    """The module itself, its public functions and classes, and their public methods that have no docstring."""
    bare = [] if ast.get_docstring(module.tree) or not module.tree.body else [module.where]
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            members = [m for m in node.body if isinstance(m, ast.FunctionDef) and not _is_overload(m)]
            bare += [f"{module.where}:{m.lineno} {node.name}.{m.name}" for m in members if _public_and_bare(m)]
        if isinstance(node, ast.FunctionDef) and _is_overload(node):
            continue
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _public_and_bare(node):
            bare.append(f"{module.where}:{node.lineno} {node.name}")
    return bare


def _public_and_bare(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return not node.name.startswith("_") and ast.get_docstring(node) is None


def _is_overload(node: ast.FunctionDef) -> bool:
    return any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    optional = [line for name, lines in extras.items() if name not in ("dev", "docs", "release") for line in lines]
    declared = {re.split(r"[^A-Za-z0-9_.-]", line)[0].lower() for line in [*project["dependencies"], *optional]}
    allowed = {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in declared} | {"raytl"}
    found = {
        (target.split(".")[0], module.where)
        for module in modules("raytl")
        for target in (i.target for i in imports(module, frozenset({module.name})))
    }
    missing = sorted((name, where) for name, where in found if name not in allowed | sys.stdlib_module_names)
    assert not missing, f"name these in pyproject.toml's dependencies: {missing}"


def test_every_test_of_an_error_says_which_text_it_expects() -> None:
    bare = [
        f"{module.where}:{node.lineno}"
        for module in modules("tests")
        for node in module.nodes
        if isinstance(node, ast.Call) and dotted(node.func) == "pytest.raises"
        if node.args and ast.unparse(node.args[0]) not in TEXTLESS
        if "match" not in {keyword.arg for keyword in node.keywords}
    ]
    assert not bare, f"pytest.raises without match: {bare}"


def test_nothing_sleeps_to_order_things() -> None:
    sleeps = [
        f"{module.where}:{node.lineno}"
        for module in modules("tests")
        for node in module.nodes
        if isinstance(node, ast.Call) and dotted(node.func) in ("time.sleep", "sleep")
    ]
    assert not sleeps, f"wait for the thing itself: {sleeps}"
