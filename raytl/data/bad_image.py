"""Define the exception for files that are not readable images."""

from __future__ import annotations

from dataclasses import dataclass


class BadImage(ValueError):
    """A file cannot be decoded; `reason` explains why without naming the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that cannot be used, and the reason."""

    key: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key!r}: {self.reason}"
