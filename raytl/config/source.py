"""Read YAML as plain values with the line of every key, and without the surprises of YAML 1.1.

Words such as `no`, `off` and `on` stay text (the schema turns them into switches where it wants a switch), `1e-3` is a
number, `010` is ten, `12:30` and `2024-01-01` are text. A key that is given twice is an error, and no tag runs code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""The place of a value in the document: keys, and indices in lists."""

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]{1,100}(_[0-9]{1,100}){0,9}|0x[0-9a-fA-F]{1,100}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = {"", "~", "null", "Null", "NULL"}
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MOST_NODES = 20_000


class SourceError(Exception):
    """Text that is not YAML, at a line (from 1; None if unknown)."""

    def __init__(self, line: int | None, fault: str, advice: str = "") -> None:
        super().__init__(line, fault, advice)
        self.line, self.fault, self.advice = line, fault, advice


@dataclass(frozen=True, slots=True)
class Source:
    """A YAML document: its value, the line of each path in it, and the keys that are given twice (path, lines)."""

    value: Any
    lines: dict[Path, int]
    repeated: tuple[tuple[Path, int, int], ...]


def dotted(path: Path) -> str:
    """Return `("train", "epochs")` as `train.epochs`."""
    return ".".join(str(part) for part in path)


def parse(text: str) -> Source:
    """Return the document in `text`. Raises a SourceError if it is not one YAML document of plain values."""
    try:
        return _built(_composed(text))
    except RecursionError as error:
        raise _too_deep() from error


def inline(text: str) -> Any:
    """Return the value of text on a command line: a list, mapping or quoted text as in YAML, else the whole text as one word.

    Unlike in YAML, ` #` starts no comment, `: ` no mapping, and `*`, `&`, `!`, `@` and `%` have no meaning.

    Raises:
        SourceError: it begins like a list, a mapping or quoted text and is not, or more text follows it.
    """
    text = text.strip()
    if not text.startswith(("[", "{", "'", '"')):
        return scalar(text)
    node = _composed(text)
    assert node is not None
    if rest := text[node.end_mark.index :].strip():
        raise SourceError(None, f"followed by {rest!r}")
    source = _built(node)
    if source.repeated:
        raise SourceError(None, f"a mapping with the key {source.repeated[0][0][-1]!r} twice")
    return source.value


def _composed(text: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _source_error(error) from error
    except RecursionError as error:
        raise _too_deep() from error
    except (ValueError, OverflowError) as error:
        raise SourceError(None, "not YAML: an escape that is not a character", "write the character itself") from error
    return node


def _too_deep() -> SourceError:
    return SourceError(None, "values are nested too deeply", "an experiment has two levels")


def _built(node: yaml.Node | None) -> Source:
    builder = _Builder({}, [], [])
    value = None if node is None else builder.build(node, ())
    return Source(value, builder.lines, tuple(builder.repeated))


def scalar(text: str) -> Any:
    """Return the value of an unquoted YAML word: null, a boolean, a number, or the text itself."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text, 16) if text.startswith("0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


class _Loader(yaml.SafeLoader):
    """Compose nodes only: every unquoted word is text, which `scalar` interprets."""


_Loader.yaml_implicit_resolvers = {}


@dataclass
class _Builder:
    lines: dict[Path, int]
    repeated: list[tuple[Path, int, int]]
    open: list[yaml.Node]

    def build(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if any(node is outer for outer in self.open):
            raise SourceError(line, "an alias (*) inside its own anchor (&)", "write the values out")
        if len(self.lines) > _MOST_NODES:
            raise SourceError(line, f"more than {_MOST_NODES} values", "an experiment is a small file; is this one?")
        self.open.append(node)
        try:
            return self._value(node, path, line)
        finally:
            self.open.pop()

    def _value(self, node: yaml.Node, path: Path, line: int) -> Any:
        if isinstance(node, yaml.MappingNode):
            return _merged(self._members(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.build(member, (*path, number)) for number, member in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return _scalar_value(node, line)

    def _members(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SourceError(line, "a key that is a list or a mapping", "keys are words")
            key = str(key_node.value)
            inner = (*path, key)
            if key in seen:
                self.repeated.append((inner, seen[key], line))
            seen[key] = line
            self.lines[inner] = line
            yield key, self.build(value_node, inner)


def _merged(members: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members as a mapping; a section given twice is merged, so that both parts are validated."""
    values: dict[str, Any] = {}
    for key, value in members:
        both = isinstance(value, dict) and isinstance(values.get(key), dict)
        values[key] = values[key] | value if both else value
    return values


def _scalar_value(node: yaml.ScalarNode, line: int) -> Any:
    if node.tag == f"{_TAG}str":
        return scalar(node.value) if node.style is None else node.value
    raise SourceError(line, f"the tag {node.tag.replace(_TAG, '!!')!r}", "write plain values; tags are not supported")


_ADVICE = {
    "\\t": "indent with spaces; YAML refuses tabs",
    "mapping values are not allowed": "is the line before indented as it should be? Quote text that holds ': '",
    "expected a single document": "keep one experiment a file, without a second '---'",
    "undefined alias": "quote text that begins with *",
    "special characters are not allowed": "the file holds control characters; save it as plain UTF-8 text",
}


def _source_error(error: yaml.YAMLError) -> SourceError:
    mark = getattr(error, "problem_mark", None)
    fault = getattr(error, "problem", None) or str(error)
    advice = next((tip for part, tip in _ADVICE.items() if part in f"{getattr(error, 'context', '')} {fault}"), "")
    return SourceError(mark.line + 1 if mark else None, f"not YAML: {fault}", advice)
