"""Tests do not measure time: a busy machine would fail them. Speed claims live in experiments/bench."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.sources import Module, dotted, functions, modules, read

CLOCKS = ("time.monotonic", "time.perf_counter", "time.time", "monotonic", "perf_counter", "datetime.now")


def timed_assertions(module: Module) -> list[str]:
    """Return where `module` asserts on elapsed time: an assert over a clock, or over a difference of clock readings."""
    found = []
    for function in functions(module):
        elapsed = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and _is_elapsed(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        found += [
            f"{module.where}:{node.lineno}"
            for node in ast.walk(function)
            if isinstance(node, ast.Assert)
            for part in ast.walk(node.test)
            if _is_elapsed(part) or (isinstance(part, ast.Name) and part.id in elapsed)
        ]
    return sorted(set(found))


def _is_elapsed(node: ast.AST) -> bool:
    """Return whether the expression subtracts from a clock's reading."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _reads_clock(node.left)


def _reads_clock(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) in CLOCKS


def test_no_test_asserts_on_elapsed_time() -> None:
    timed = [line for module in modules("tests") for line in timed_assertions(module)]
    assert not timed, f"measure in experiments/bench; here count calls, or pass a clock: {timed}"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("assert time.perf_counter() - began < 0.5", [2]),
        ("took = time.monotonic() - began\n    assert took < 3", [3]),
        ("took = time.time() - began\n    assert not took > 3, 'slow'", [3]),
        ("assert time.monotonic() < end, 'a deadline of a wait, not a measure'", []),
        ("clock.now = time.time() - 60\n    assert clock.reads == 1", []),
    ],
)
def test_an_assertion_on_elapsed_time_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, lines: list[int]
) -> None:
    monkeypatch.setattr("tests.architecture.sources.REPO", tmp_path)
    file = tmp_path / "tests" / "test_a.py"
    file.parent.mkdir()
    file.write_text(f"def test_a():\n    {text}\n")
    assert timed_assertions(read(file, tmp_path)) == [f"tests/test_a.py:{line}" for line in lines]
