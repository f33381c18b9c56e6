"""YAML text with comments above values, because people read and edit these files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

# other parsers read more texts as numbers or booleans than PyYAML (1e3, y): quote what starts with a digit or is short
_PLAIN = re.compile(r"[A-Za-z/][\w./@=: -]+")


@dataclass(frozen=True)
class Commented:
    """A value with the comment above it."""

    comment: str
    value: Any


def commented_yaml(document: Mapping[str, Any]) -> str:
    """Return the YAML text of one document of mappings, lists, strings and numbers, any of them `Commented`."""
    return "\n".join(_lines(document)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _entry(f"{key}:", child)
    else:
        for item in value:
            yield from _item(item)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, Commented):
        yield from (f"# {line}" for line in value.comment.splitlines())
        value = value.value
    if isinstance(value, str) and _is_block(value):
        yield f"{head} |" if value.endswith("\n") else f"{head} |-"
        yield from (f"  {line}" if line else "" for line in value.splitlines())
    elif _is_nested(value):
        yield head
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{head} {_scalar(value)}"


def _item(value: Any) -> Iterator[str]:
    if isinstance(value, Commented):
        yield from (f"# {line}" for line in value.comment.splitlines())
        value = value.value
    if not _is_nested(value):
        yield from _entry("-", value)
        return
    first, *rest = _lines(value)
    yield f"- {first}"
    yield from (f"  {line}" for line in rest)


def _is_block(text: str) -> bool:
    """Return True for text that a YAML block preserves: no indented first line and no empty last lines."""
    return "\n" in text and not text[0].isspace() and not text.endswith("\n\n") and text.replace("\n", "").isprintable()


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | Sequence) and not isinstance(value, str) and bool(value)


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) and _is_plain(value) else json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    if not _PLAIN.fullmatch(text):
        return False
    try:
        return bool(yaml.safe_load(text) == text)
    except yaml.YAMLError:
        return False
