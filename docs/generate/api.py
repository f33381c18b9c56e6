"""The Python API as directives for mkdocstrings: one for each name that raytl exports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import raytl


def markdown() -> str:
    """Return a directive for each exported name, by the module that defines it."""
    modules = dict(definitions(Path(raytl.__file__).read_text(encoding="utf-8")))
    return "".join(_directive(modules[name], name) for name in raytl.__all__)


def definitions(source: str) -> Iterator[tuple[str, str]]:
    """Yield each name that `source` imports from a module of raytl, and that module.

    The package imports lazily, so what it offers is known by its imports for type checkers.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("raytl."):
            for alias in node.names:
                yield alias.asname or alias.name, str(node.module)


def _directive(module: str, name: str) -> str:
    return f"::: {module}.{name}\n    options:\n      heading_level: 3\n      heading: raytl.{name}\n      toc_label: {name}\n\n"
