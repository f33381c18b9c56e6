"""Sanitize untrusted text (file names, labels, errors) for terminals, JSON, CSV files and logs.

`redacted` is the only function that masks secrets: errors, messages and reasons pass it when they are created, and so does all
text that leaves the process through the terminal, the log or JSON for people.
"""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections.abc import Callable
from functools import lru_cache, partial

from raytl.redaction import masked, secret_values

_CONTROLS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},  # replaced by their control pictures
    **dict.fromkeys(range(0x7F, 0xA0), 0xFFFD),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),  # bidirectional overrides
}
_CONTROLS_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SIGN = r"[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]"
_CELL = re.compile(rf"^([\s\ufeff\u200b']*{_SIGN}|'*[\t\r\n])|(?<=[;\t\r\n])([^\S\t\r\n]|[\ufeff\u200b'])*{_SIGN}")
_ESCAPED = re.compile(
    rf"^'([\s\ufeff\u200b']*{_SIGN}|'*[\t\r\n])|(?<=[;\t\r\n])'(([^\S\t\r\n]|[\ufeff\u200b'])*{_SIGN})"
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_QUOTED = re.compile(r"[,;\"'\s]")


def printable(text: str) -> str:
    """Return `text` with control characters replaced by visible ones; line ends and tabs stay."""
    return text.translate(_CONTROLS)


def one_line(text: str, length: int, tail: bool = False) -> str:
    """Return `text` in one line of at most `length` characters, without its end (or with `tail`, its beginning).

    Characters that cannot be drawn (controls, marks of direction, bytes that are not UTF-8) become an arrow.
    """
    line = "".join(
        "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}" if unicodedata.category(each)[0] == "C" else each for each in text
    )
    if len(line) > length:
        line = "…" + line[1 - length :] if tail else line[: length - 1] + "…"
    return line


def json_printable(text: str) -> str:
    """Return equivalent JSON with control characters as `\\uXXXX`."""
    return _CONTROLS_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def command(*words: object) -> str:
    """Return the words as one shell-quoted command line."""
    return shlex.join(map(str, words))


def redacted(text: str) -> str:
    """Return `text` with secrets in URLs, and the current values of secret environment variables, as `***`."""
    return redactor()(text)


def redactor() -> Callable[[str], str]:
    """Return `redacted` for many texts, with the environment read once."""
    return partial(masked, values=_secrets_of(tuple(os.environ.items())))


def as_cell(text: str) -> str:
    """Return `text` as a CSV cell that no spreadsheet evaluates as a formula; numbers stay as they are.

    A `'` is inserted before each possible start of a formula: at the start, and after `;`, a tab or a line end, where
    spreadsheets may split a cell. To restore the text, remove one `'` at each of these places.
    """
    return text if _NUMBER.fullmatch(text) else _CELL.sub(r"'\g<0>", text)


def from_cell(cell: str) -> str:
    """Return the text of a cell that `as_cell` wrote."""
    return _ESCAPED.sub(lambda match: match[1] or match[2], cell)


def csv_cell(text: str) -> str:
    """Return `as_cell(text)`, quoted if it holds a delimiter, a quote or white space."""
    cell = as_cell(text)
    # not csv.writer: it leaves a lone carriage return unquoted when lines end in \\n, and readers then split there
    return '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell


@lru_cache(maxsize=4)
def _secrets_of(environment: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return secret_values(dict(environment))
