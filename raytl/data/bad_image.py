"""Define the exception for files that are not readable images."""

from __future__ import annotations


class BadImage(ValueError):
    """A file cannot be decoded; `reason` explains why without naming the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
