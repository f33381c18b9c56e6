"""Write characters that a stream cannot encode in ASCII, so that output never fails."""

from __future__ import annotations

import codecs
import io
import sys

_ERRORS = "raytl.ascii"
_ASCII = {
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "★": "*",
    "•": "*",
    "·": ".",
    "×": "x",
    "²": "^2",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "\N{NO-BREAK SPACE}": " ",
}


def in_ascii(text: str) -> str:
    """Return `text` in ASCII: typographic marks in their usual spelling, other characters as escapes such as `\\u4e2d`."""
    return "".join(_ASCII.get(mark) or mark.encode("ascii", "backslashreplace").decode() for mark in text)


def never_fail() -> None:
    """Make standard output and standard error write characters that their encoding lacks in ASCII, instead of raising."""
    codecs.register_error(_ERRORS, _replacement)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _replacement(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return in_ascii(error.object[error.start : error.end]), error.end
