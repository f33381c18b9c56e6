"""The words that the glossary retired stay out of what people read: the manual, docstrings, comments, messages and scripts."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import REPO, Module, modules
from tests.architecture.vocabulary import CODE, WORDS

PAGES = (
    REPO / "README.md",
    REPO / "SECURITY.md",
    REPO / "CHANGELOG.md",
    *sorted((REPO / "docs").glob("*.md")),
)
SCRIPTS = tuple(
    path
    for folder in ("clusters", ".ci", ".github", "experiments")
    for path in sorted((REPO / folder).rglob("*"))
    if path.is_file() and path.suffix in {"", ".sh", ".yaml", ".yml", ".service", ".timer", ".json"}
)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_ALL = re.compile("|".join(rf"(?P<w{n}>(?<![\w-]){words}(?![\w-]))" for n, words in enumerate(WORDS)), re.IGNORECASE)


def retired(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the word and its replacement for each retired word in the prose of a page; output is not prose."""
    better = list(WORDS.values())
    prose = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    for number, line in enumerate(prose.splitlines(), start=1):
        for found in _ALL.finditer(line):
            yield number, found[0], better[int(str(found.lastgroup)[1:])]
        for code in _CODE.findall(line):
            yield from ((number, name, CODE[name]) for name in re.split(r"[.()]", code) if name in CODE)


@pytest.mark.parametrize(
    "page", [*PAGES, REPO / "Makefile", REPO / "pyproject.toml", *SCRIPTS], ids=lambda page: page.name
)
def test_no_page_uses_a_retired_word(page: Path) -> None:
    where = page.relative_to(REPO).as_posix()
    lines = [
        f"{where}:{line}: {word!r}; write: {better}" for line, word, better in retired(page.read_text(encoding="utf-8"))
    ]
    assert not lines, "\n" + "\n".join(lines)


def spoken(module: Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring, message and comment of the module."""
    for node in module.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    with module.path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


@pytest.mark.parametrize("folder", ["raytl", "experiments", "clusters"])
def test_no_text_of_the_code_uses_a_retired_word(folder: str) -> None:
    lines = [
        f"{module.where}:{start + line - 1}: {word!r}; write: {better}"
        for module in modules(folder)
        for start, text in spoken(module)
        for line, word, better in retired(text)
    ]
    assert not lines, "\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("One that is killed is gone on with by the next.", "gone on with"),
        ("The webhook is told though the bucket be away.", "told"),
        ("A sweep of ten trials finds out how deep to go.", "finds out"),
        ("120 new images are enough.", "are enough"),
        ("Mend the cause.", "Mend"),
        ("The Gang of workers beats.", "Gang"),
        ("Nobody changes\nsides.", "sides"),
        ("Its state is kept in a `Board`.", "Board"),
        ("It calls `Home.open()` first.", "Home"),
    ],
)
def test_a_retired_word_is_found(sentence: str, word: str) -> None:
    assert word in [found for _, found, _ in retired(sentence)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Heartbeats arrive every 4 s, and the amendment of one side is no offence.",
        "The Home page is on the right; look at the sink, the engine and the board.",
        "```\nanother raytl is at work; it was told\n```",
    ],
)
def test_an_ordinary_word_and_output_are_left_alone(sentence: str) -> None:
    assert not list(retired(sentence))
