"""How buckets are reached is passed on to whatever opens one: a call that leaves `s3` out would ask the environment instead."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import Module, dotted
from tests.architecture.test_floors import parse, sources

NAME = "s3"
LOCAL = {
    ("raytl/data/decode.py", "loaded"): "`load` is given bytes or a file",
    ("raytl/data/images.py", "loaded"): "files of this node",
    ("raytl/models/saved_model.py", "build"): "no weights",
}
"""Calls that read nothing from a bucket, with the reason."""
Takers = dict[str, int]
"""By full name (a class by its constructor), where `s3` stands among the positional arguments."""


def takers(modules: tuple[Module, ...]) -> Takers:
    """The functions, class methods and constructors that take `s3`."""
    found: Takers = {}
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef):
                found |= _taker(f"{module.name}.{node.name}", node, 0)
            if isinstance(node, ast.ClassDef):
                for method in [each for each in node.body if isinstance(each, ast.FunctionDef)]:
                    own = "" if method.name == "__init__" else f".{method.name}"
                    found |= _taker(f"{module.name}.{node.name}{own}", method, 1)
                fields = [each.target.id for each in node.body if _is_field(each)]  # type: ignore[attr-defined]
                if NAME in fields:
                    found[f"{module.name}.{node.name}"] = fields.index(NAME)
    return found


def _taker(name: str, node: ast.FunctionDef, skipped: int) -> Takers:
    positional = [each.arg for each in node.args.args]
    if NAME in positional:
        return {name: positional.index(NAME) - skipped}
    return {name: len(positional)} if NAME in [each.arg for each in node.args.kwonlyargs] else {}


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def forgetful(module: Module, takers: Takers) -> list[tuple[tuple[str, str], str]]:
    """The calls of `module` that leave `s3` out, by file and name, and a line about each."""
    names = dict(_names(module))
    return [
        (
            (module.where, ast.unparse(node.func)),
            f"{module.where}:{node.lineno}: {ast.unparse(node.func)} without {NAME}",
        )
        for node in module.nodes
        if isinstance(node, ast.Call) and (where := _called(node, names)) in takers and not _gives(node, takers[where])
    ]


def _names(module: Module) -> Iterator[tuple[str, str]]:
    """What names mean in `module`: its own functions and classes, and what it imports."""
    for node in module.nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, f"{module.name}.{node.name}"


def _called(node: ast.Call, names: dict[str, str]) -> str:
    """The full name of what is called, also by `partial`; a class method of its own class is `cls`."""
    func: ast.expr = node.func
    if isinstance(func, ast.Name) and func.id == "partial" and node.args:
        func = node.args[0]
    first, _, rest = dotted(func).partition(".")
    return ".".join(filter(None, (names.get(first, ""), rest)))


def _gives(node: ast.Call, place: int) -> bool:
    is_partial = isinstance(node.func, ast.Name) and node.func.id == "partial"
    return len(node.args) - is_partial > place or any(keyword.arg in (NAME, None) for keyword in node.keywords)


def test_every_call_passes_the_settings_on() -> None:
    found, _ = sources()
    known = takers(found)
    assert {
        "raytl.store.open.open_store",
        "raytl.run.run_store.RunStore.open",
        "raytl.store.s3.S3Store",
    } <= known.keys()
    calls = {call: line for module in found for call, line in forgetful(module, known)}
    lines = [line for call, line in calls.items() if call not in LOCAL]
    assert not lines, "pass on the S3Settings of the experiment or the machine:\n" + "\n".join(lines)
    assert calls.keys() >= LOCAL.keys(), "remove from LOCAL what is no longer called"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("from raytl.store.open import open_store\nopen_store('x')", True),
        ("from raytl.store.open import open_store as o\no('x')", True),
        ("from raytl.store import open\nopen.open_store('x')", True),
        ("from functools import partial\nfrom raytl.store.open import open_store\npartial(open_store, 'x')", True),
        ("from raytl.store.open import open_store\nopen_store('x', y)", False),
        ("from raytl.store.open import open_store\nopen_store('x', s3=y)", False),
        ("from functools import partial\nfrom raytl.store.open import open_store\npartial(open_store, s3=y)", False),
        ("from raytl.other import open_store\nopen_store('x')", False),
    ],
)
def test_a_call_without_the_settings_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, wrong: bool
) -> None:
    monkeypatch.setattr("tests.architecture.sources.REPO", tmp_path)
    module = parse(tmp_path, "raytl/data/x.py", text)
    assert bool(forgetful(module, {"raytl.store.open.open_store": 1})) is wrong
