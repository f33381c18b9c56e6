"""A journal is a file of JSON lines that only grows, and that a death in mid-write cannot spoil."""

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
    dict[str, Any], "one JSON object a line", "The file was damaged or edited: mend or delete this line."
)
"""A line of any journal: an object, whatever its keys."""


def append(path: str | Path, record: Mapping[str, Any]) -> None:
    """Add `record` as one line and flush it to the disk; a torn line left by an earlier death is cut off first.

    Secrets in its texts are starred.

    Raises:
        DiskError: the line is not there whole, for example as the disk is full.
    """
    append_lines(path, encode(for_people(record)) + b"\n")


def append_lines(path: str | Path, lines: bytes) -> None:
    """Add whole `lines` as `append` adds a record: all of them, or none where the disk refuses."""
    target = Path(path)
    with writing(target, len(lines)):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a+b", buffering=0) as file:
            _add(file, _mended(file) + lines)


@overload
def read(path: str | Path) -> list[dict[str, Any]]: ...


@overload
def read(path: str | Path, kind: Format[T], on_event: OnEvent = ...) -> list[T]: ...


def read(path: str | Path, kind: Format[Any] = RECORD_FORMAT, on_event: OnEvent = ignore) -> list[Any]:
    """Return the records in order, each of the `kind`; none where there is no file. A torn last line is left out.

    Raises:
        RaytlError: a line before the last is no such record; with its number.
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
    """Write to the end of an unbuffered file, whose `write` may take a part only, and flush it to the disk."""
    end = file.seek(0, os.SEEK_END)
    left = memoryview(content)
    try:
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(end)
        raise


def _mended(file: Any) -> bytes:
    """Cut off a torn last line; the bytes to write before the next record."""
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
    """The last bytes of the file, back to a newline at least (or to the start)."""
    length = 1 << 16
    while True:
        start = max(0, size - length)
        file.seek(start)
        content: bytes = file.read()
        if b"\n" in content or start == 0:
            return content
        length *= 2
