"""The documentation as values: its pages, the blocks of code in them, and the commands in those."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
README = REPO / "README.md"
PAGES = (README, *sorted((REPO / "docs").glob("*.md")))
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_PROGRAMS = ("raytl", "make", "python", "pip")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its fence, its language (or nothing), and its text."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        """The page and the line."""
        return f"{self.page.relative_to(REPO).as_posix()}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command as words, without its prompt, its comment and what its output is redirected to."""

    where: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words, for the names of tests."""
        return f"{self.where} {' '.join(self.words)}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])


def all_blocks(language: str) -> list[Block]:
    """Return the blocks of all pages in a language."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of raytl, make, Python and pip in a block."""
    for offset, line in enumerate(block.text.splitlines(), start=1):
        plain = line.removeprefix("$ ")
        if plain.split(" ")[0] in _PROGRAMS:
            where = f"{block.page.relative_to(REPO).as_posix()}:{block.line + offset}"
            yield Command(where, _words(plain))


def inline_commands(page: Path) -> Iterator[Command]:
    """Yield what stands in code spans of the page's text and begins with raytl, make or Python."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        for code in _INLINE.findall(line):
            if re.match(r"(raytl|make) \w|python -m", code):
                yield Command(f"{page.relative_to(REPO).as_posix()}:{number}", _words(code))


def _words(line: str) -> tuple[str, ...]:
    words = shlex.split(line, comments=True)
    return tuple(words[: words.index(">")] if ">" in words else words)
