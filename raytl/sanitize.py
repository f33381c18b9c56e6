"""Text as it may be shown: file names, labels and errors are other people's, and terminals and spreadsheets obey them.

`redacted` is the one door for secrets: errors, messages and reasons pass it when they are made, and the terminal, the log and
JSON for people when text leaves the process.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from functools import lru_cache, partial

from raytl.redaction import secret_values, starred

_STEERING = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},  # shown as their pictures
    **dict.fromkeys(range(0x7F, 0xA0), 0xFFFD),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),  # they reverse what stands around them
}
_STEERING_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SIGN = r"[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]"
_CELL = re.compile(rf"^([\s\ufeff\u200b']*{_SIGN}|'*[\t\r\n])|(?<=[;\t\r\n])([^\S\t\r\n]|[\ufeff\u200b'])*{_SIGN}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_QUOTED = re.compile(r"[,;\"'\s]")


def printable(text: str) -> str:
    """`text` without what steers a terminal: control characters are shown, not obeyed; line ends and tabs stay."""
    return text.translate(_STEERING)


def json_printable(text: str) -> str:
    """Return JSON as the same JSON without what steers a terminal: such characters as `\\uXXXX`."""
    return _STEERING_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def command(*words: object) -> str:
    """Return the words as one command line to paste into a shell."""
    return shlex.join(map(str, words))


def redacted(text: str) -> str:
    """Return `text` with the secrets of addresses, and those that the environment holds now, as `***`."""
    return redactor()(text)


def redactor() -> Callable[[str], str]:
    """Return `redacted` for many texts: it looks at the environment once."""
    return partial(starred, values=_secrets_of(tuple(os.environ.items())))


def as_cell(text: str) -> str:
    """Return `text` as a cell of a CSV file that no spreadsheet takes for a formula, unless it is a number.

    A `'` stands before what a formula could begin with: at the start, and after `;`, a tab or a line end, where spreadsheets may
    split a cell. To read the text back, remove one `'` at each of these places; `as_cell` adds one to those that were there.
    """
    return text if _NUMBER.fullmatch(text) else _CELL.sub(r"'\g<0>", text)


def csv_cell(text: str) -> str:
    """Return `as_cell(text)` in quotes where it holds a delimiter, a quote or white space."""
    cell = as_cell(text)
    # by hand: Python's csv leaves a lone carriage return bare when lines end in \\n, and readers then split there
    return '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell


@lru_cache(maxsize=4)
def _secrets_of(environment: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return secret_values(dict(environment))
