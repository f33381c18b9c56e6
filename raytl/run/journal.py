"""A journal: an append-only file of JSON lines that survives a crash in the middle of a write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

from raytl.disk import writing
from raytl.errors import RaytlError
from raytl.events import OnEvent, ignore
from raytl.run.plain import encode, for_people
from raytl.stored import Format

T = TypeVar("T")
RECORD_FORMAT = Format[dict[str, Any]](
    dict[str, Any], "one JSON object a line", "The file was damaged or edited. Fix or delete this line."
)
"""A line of any journal: an object with any keys."""


def append(path: str | Path, record: Mapping[str, Any]) -> None:
    """Append `record` as one line and flush it to disk; first remove a torn line that a crash left.

    Secrets in its texts are redacted.

    Raises:
        DiskError: the line could not be written completely, for example because the disk is full.
    """
    append_lines(path, encode(for_people(record)) + b"\n")


def append_lines(path: str | Path, lines: bytes) -> None:
    """Append complete `lines` as `append` does: all of them, or none if the write fails."""
    target = Path(path)
    with writing(target, len(lines)):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a+b", buffering=0) as file:
            _add(file, _remove_torn_line(file) + lines)


@overload
def read(path: str | Path) -> list[dict[str, Any]]: ...


@overload
def read(path: str | Path, kind: Format[T], on_event: OnEvent = ...) -> list[T]: ...


def read(path: str | Path, kind: Format[Any] = RECORD_FORMAT, on_event: OnEvent = ignore) -> list[Any]:
    """Return the records of type `kind` in order; none if there is no file. Ignore a torn last line.

    Raises:
        RaytlError: a line before the last is invalid; the error has its number.
    """
    target = Path(path)
    if not target.exists():
        return []
    whole, newline, tail = kind.content(target, lines=True).rpartition(b"\n")
    records = list(kind.lines(whole + newline, str(target), on_event))
    if tail and _is_object(tail):
        records.append(kind.read(tail, f"{target}:{len(records) + 1}", on_event))
    return records


def _is_object(line: bytes) -> bool:
    try:
        RECORD_FORMAT.read(line, "")
    except RaytlError:
        return False
    return True


def _add(file: Any, content: bytes) -> None:
    """Write to the end of an unbuffered file, whose `write` may be partial, and flush it to disk."""
    end = file.seek(0, os.SEEK_END)
    left = memoryview(content)
    try:
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(end)
        raise


def _remove_torn_line(file: Any) -> bytes:
    """Remove a torn last line; return the bytes to write before the next record."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return b""
    file.seek(0)
    content: bytes = file.read() if size < 1 << 16 else _last_bytes(file, size)
    tail = content.rpartition(b"\n")[2]
    if tail and not _is_object(tail):
        file.truncate(size - len(tail))
        return b""
    return b"\n" if tail else b""


def _last_bytes(file: Any, size: int) -> bytes:
    """Return the last bytes of the file, from a newline or the start."""
    length = 1 << 16
    while True:
        start = max(0, size - length)
        file.seek(start)
        content: bytes = file.read()
        if b"\n" in content or start == 0:
            return content
        length *= 2
