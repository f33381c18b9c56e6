"""Values as YAML text in which a value's reason stands above it, as people read these files and change them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

# other readers than PyYAML take more for numbers and booleans (1e3, y): those begin with a digit or are short
_PLAIN = re.compile(r"[A-Za-z/][\w./@=: -]+")


@dataclass(frozen=True)
class Why:
    """A value with the reason that is written above it."""

    reason: str
    value: Any


def written(document: Mapping[str, Any]) -> str:
    """The YAML text of one document: mappings, lists, texts, numbers, and any of them with a reason."""
    return "\n".join(_lines(document)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _entry(f"{key}:", held)
    else:
        for item in value:
            yield from _item(item)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, Why):
        yield from (f"# {line}" for line in value.reason.splitlines())
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
    if isinstance(value, Why):
        yield from (f"# {line}" for line in value.reason.splitlines())
        value = value.value
    if not _is_nested(value):
        yield from _entry("-", value)
        return
    first, *rest = _lines(value)
    yield f"- {first}"
    yield from (f"  {line}" for line in rest)


def _is_block(text: str) -> bool:
    """Lines that YAML keeps as they are; an indented first line or empty last ones it would not."""
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
