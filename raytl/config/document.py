"""Read the text of an experiment as one mapping, with the lines of its keys."""

from __future__ import annotations

from raytl.config.problems import Problem, config_error
from raytl.config.source import Path, Source, SourceError, dotted, parse
from raytl.errors import ConfigError


def document(text: str, name: str) -> Source:
    """Return the mapping in `text`, which errors call `name`.

    Raises:
        ConfigError: the text is not YAML of plain values, is empty, or is not a mapping.
    """
    try:
        source = parse(text)
    except SourceError as error:
        place = f"{name}:{error.line}" if error.line else name
        raise config_error(name, [Problem(place, "", error.fault, error.advice)]) from error
    if source.value is None:
        raise ConfigError(f"{name}: the file is empty; expected an experiment with at least name, data and model")
    if not isinstance(source.value, dict):
        raise ConfigError(f"{name}:1: found {type(source.value).__name__}, expected keys such as `name: my-run`")
    return source


def repeated(name: str, path: Path, first: int, second: int) -> Problem:
    """Return the problem of a key that is on two lines of the document `name`."""
    return Problem(f"{name}:{second}", dotted(path), f"given twice, on lines {first} and {second}", "keep one")
