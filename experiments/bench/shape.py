"""Print the shape of the source: the widest modules, the longest functions, and the lengths of files.

python -m experiments.bench.shape [--tree CHECKOUT]
"""

from __future__ import annotations

import argparse
import ast
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
PACKAGE = "raytl"
WIDEST, LONGEST, LONG_FILE = 5, 10, 350


@dataclass(frozen=True)
class Source:
    """A module: its dotted name, its path from the checkout's root, its lines and its syntax tree."""

    name: str
    path: Path
    lines: int
    tree: ast.Module


def read(tree: Path) -> list[Source]:
    """Return all modules of the package in the checkout `tree`."""
    sources = []
    for path in sorted((tree / PACKAGE).rglob("*.py")):
        parts = path.relative_to(tree).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        sources.append(Source(name, path.relative_to(tree), len(text.splitlines()), ast.parse(text)))
    return sources


def imported(source: Source, names_in_package: frozenset[str], at_run_time: bool) -> set[str]:
    """Return the package's modules that `source` imports anywhere; with `at_run_time`, not those for types alone."""
    skipped = set(typing_only(source.tree)) if at_run_time else set()
    imports = set()
    for node in ast.walk(source.tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            imports |= {name if name in names_in_package else node.module for name in names}
    return (imports & names_in_package) - {source.name}


def typing_only(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield what stands under `if TYPE_CHECKING`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.body:
                yield from ast.walk(statement)


def functions(source: Source) -> Iterator[tuple[int, str]]:
    """Yield the length of each function and method, decorators and docstring included, and where it is."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield (node.end_lineno or first) - first + 1, f"{source.path.as_posix()}:{node.lineno} {node.name}"


def report(sources: list[Source]) -> Iterator[str]:
    """Yield the report, line by line."""
    names = frozenset(source.name for source in sources)
    yield f"widest modules ({PACKAGE} modules imported; without imports for types):"
    widths = {source.name: (imported(source, names, False), imported(source, names, True)) for source in sources}
    for name in sorted(widths, key=lambda name: (-len(widths[name][0]), name))[:WIDEST]:
        everything, running = widths[name]
        yield f"  {len(everything):>4} {len(running):>4}  {name}"
    yield "longest functions (lines):"
    lengths = [length for source in sources for length in functions(source)]
    yield from (
        f"  {length:>4}  {where}" for length, where in sorted(lengths, key=lambda it: (-it[0], it[1]))[:LONGEST]
    )
    lines = sorted(source.lines for source in sources)
    yield f"files: {len(lines)}, {sum(lines):,} lines, median {statistics.median(lines):g}, longest {lines[-1]}"
    long = [source for source in sources if source.lines > LONG_FILE]
    yield f"files over {LONG_FILE} lines: {len(long)}"
    yield from (f"  {source.lines:>4}  {source.path.as_posix()}" for source in sorted(long, key=lambda it: -it.lines))


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=HERE, help="the checkout to measure")
    print(*report(read(parser.parse_args().tree)), sep="\n")


if __name__ == "__main__":
    main()
