"""A journal is a file of JSON lines that only grows, and that a death in mid-write cannot spoil."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raytl.disk import writing
from raytl.errors import RunError
from raytl.run.plain import encode


def append(path: str | Path, record: Mapping[str, Any]) -> None:
    """Add `record` as one line and flush it to the disk; a torn line left by an earlier death is cut off first."""
    append_lines(path, encode(record) + b"\n")


def append_lines(path: str | Path, lines: bytes) -> None:
    """Add whole `lines` as `append` adds a record: all of them, or none where the disk refuses."""
    target = Path(path)
    with writing(target, len(lines)):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a+b", buffering=0) as file:
            _add(file, _mended(file) + lines)


def read(path: str | Path) -> list[dict[str, Any]]:
    """The records in order; none where there is no file. A torn last line is left out.

    Raises RunError where a line before the last is not a JSON object.
    """
    target = Path(path)
    if not target.exists():
        return []
    whole, _, tail = target.read_bytes().rpartition(b"\n")
    lines = whole.split(b"\n") if whole else []
    records = [_record(target, number, line) for number, line in enumerate(lines, start=1)]
    return [*records, json.loads(tail)] if tail and _is_object(tail) else records


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    if not _is_object(line):
        raise RunError(
            f"{path}:{number}: found {line[:60].decode(errors='replace')!r}, expected one JSON object a line; "
            "the file was damaged or edited: mend or delete this line"
        )
    record: dict[str, Any] = json.loads(line)
    return record


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


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
