"""Text as it may be shown: file names, labels and errors are other people's, and terminals and spreadsheets obey them."""

from __future__ import annotations

import re
import shlex

_STEERING = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},  # shown as their pictures
    **dict.fromkeys(range(0x7F, 0xA0), 0xFFFD),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),  # they reverse what stands around them
}
_PASSWORD = re.compile(r"(\w://[^/\s:@]*):[^/\s@]+@")
_SIGNED = re.compile(
    r"([?&](?:x-amz-(?:signature|credential|security-token)|signature|awsaccesskeyid|sig|token|password|passwd|secret)=)"
    r"[^&\s'\"]+",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def printable(text: str) -> str:
    """`text` without what steers a terminal: control characters are shown, not obeyed; line ends and tabs stay."""
    return text.translate(_STEERING)


def command(*words: object) -> str:
    """Return the words as one command line to paste into a shell."""
    return shlex.join(map(str, words))


def redacted(text: str) -> str:
    """`text` with the passwords and signatures of the URIs in it as `***`."""
    return _SIGNED.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def as_cell(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula: behind a ' where it begins like one and is no number."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
