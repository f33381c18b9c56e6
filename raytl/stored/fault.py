"""The error of a stored value, with the path of its field."""

from __future__ import annotations

from typing import Any

_MAX_QUOTED = 60


class Fault(Exception):
    """A stored value does not match its format: the `observed` and the `expected` value, and the `keys` that lead to it."""

    def __init__(self, observed: str, expected: str) -> None:
        super().__init__(observed, expected)
        self.observed, self.expected = observed, expected
        self.keys: tuple[str | int, ...] = ()

    def below(self, key: str | int) -> Fault:
        """Return this fault as seen from one level up."""
        self.keys = (key, *self.keys)
        return self

    def __str__(self) -> str:
        field = f"{dotted(self.keys)}: " if self.keys else ""
        return f"{field}{self.observed}; expected {self.expected}"


def mismatch(value: Any, expected: str) -> Fault:
    """Return the fault of a value that is not `expected`."""
    return Fault(f"found {described(value)}", expected)


def dotted(keys: tuple[str | int, ...]) -> str:
    """Return the dotted path of a field: `files.a.txt.bytes`."""
    return ".".join(_word(key) for key in keys)


def described(value: Any) -> str:
    """Return a short description of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= _MAX_QUOTED else f"a text of {len(value)} characters"
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    return f"a list of {len(value)}" if isinstance(value, list) else str(value)


def _word(key: str | int) -> str:
    text = str(key)
    if len(text) > _MAX_QUOTED:
        return repr(text[:_MAX_QUOTED])
    return text if text.isprintable() else repr(text)
