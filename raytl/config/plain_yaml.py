"""Read YAML of other tools as plain values. Nothing in it is a setting: no variable expands, and no experiment is built."""

from __future__ import annotations

from typing import Any

from raytl.config.source import SourceError, parse


class YamlFault(ValueError):
    """Text that is not one YAML document of plain values; `line` is where, from 1."""

    def __init__(self, fault: str, line: int) -> None:
        super().__init__(fault)
        self.line = line


def plain_yaml(text: str) -> Any:
    """Return the value of a YAML document.

    Raises:
        YamlFault: it is not one document of plain values, repeats a key, or is too large.
    """
    try:
        source = parse(text)
    except SourceError as error:
        raise YamlFault(error.fault, error.line or 1) from error
    for path, _, line in source.repeated:
        raise YamlFault(f"the key {path[-1]!r} is given twice", line)
    return source.value
