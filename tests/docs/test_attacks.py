"""Every test that the page of attacks names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "attacks.md"


def named(page: str) -> list[str]:
    """The test ids in the tables of a page."""
    return re.findall(r"`([\w/]+\.py::\w+)`", page)


def missing(ids: list[str]) -> list[str]:
    """Those of the tests that do not exist."""
    return [each for each in ids if each.split("::")[1] not in functions(TESTS / each.split("::")[0])]


def functions(path: Path) -> set[str]:
    """The functions of a file of tests; none where there is no such file."""
    if not path.is_file():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_row_names_a_test_that_exists() -> None:
    page = PAGE.read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| attack ")]
    assert len(named(page)) == len(rows) > 40
    assert missing(named(page)) == []


def test_a_test_that_does_not_exist_is_found() -> None:
    assert missing(["security/test_fetched.py::test_nothing", "security/test_none.py::test_x"]) == [
        "security/test_fetched.py::test_nothing",
        "security/test_none.py::test_x",
    ]
