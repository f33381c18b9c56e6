"""The source tree as values: its modules, what each imports, and the functions in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from raytl.gc_pause import gc_paused

REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Import:
    """One import of `target` (a module's full name) at `line`; `typing_only` under `if TYPE_CHECKING`."""

    target: str
    line: int
    typing_only: bool


@dataclass(frozen=True)
class Module:
    """One source file: its path, its dotted name and its syntax tree."""

    path: Path
    name: str
    tree: ast.Module

    @property
    def where(self) -> str:
        """Its path from the repository's root."""
        return self.path.relative_to(REPO).as_posix()

    @property
    def lines(self) -> int:
        """How many lines the file has."""
        return len(self.path.read_text(encoding="utf-8").splitlines())

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree: a dozen tests walk it."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def import_nodes(self) -> tuple[tuple[ast.Import | ast.ImportFrom, bool], ...]:
        """Its imports, each with whether it is for type checkers only."""
        quiet = {id(node) for branch in _typing_branches(self) for node in ast.walk(branch)}
        return tuple((node, id(node) in quiet) for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom))


@cache
@gc_paused()  # a tree has no cycles, and the search for them takes longer than to parse it
def modules(folder: str) -> tuple[Module, ...]:
    """Every Python file under `folder` of the repository."""
    return tuple(read(path, REPO) for path in sorted((REPO / folder).rglob("*.py")))


def read(path: Path, root: Path) -> Module:
    """The module in the file at `path`, named from `root`."""
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(path, name, ast.parse(path.read_text(encoding="utf-8"), str(path)))


def imports(module: Module, known: frozenset[str]) -> list[Import]:
    """What `module` imports anywhere in it; `from package import name` counts as the submodule where `known` has it."""
    return [
        Import(target, node.lineno, is_quiet)
        for node, is_quiet in module.import_nodes
        for target in _targets(node, module, known)
    ]


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of `module`, inner ones too."""
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def dotted(node: ast.AST) -> str:
    """Return the text of a name, or of a name and attributes, such as `time.sleep`; "" of any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    owner = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{owner}.{node.attr}" if owner and isinstance(node, ast.Attribute) else ""


def _typing_branches(module: Module) -> list[ast.If]:
    return [
        node for node in module.nodes if isinstance(node, ast.If) and "TYPE_CHECKING" in map(_last, ast.walk(node.test))
    ]


def _last(node: ast.AST) -> str:
    return dotted(node).rpartition(".")[2]


def _targets(node: ast.Import | ast.ImportFrom, module: Module, known: frozenset[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = _absolute(node, module)
    names = [f"{base}.{alias.name}" for alias in node.names]
    # a vendor's submodules are not known here: keep the longer name, its beginning tells the vendor
    return [name if name in known or not base.startswith("raytl") else base for name in names]


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    drop = node.level - (module.path.name == "__init__.py")
    return ".".join([*package[: len(package) - drop], *([node.module] if node.module else [])])
