"""Count the bytes that a decompressor or a connection delivers, and stop at a limit.

Announced sizes are not trusted: a few kB can inflate to GB, and a body may never end.
`fetch_worker` counts for itself, because it imports only the standard library.
"""

from __future__ import annotations

from typing import Protocol

BOMB_RATIO, BOMB_BYTES = 100, 1 << 30
"""A file may inflate to this many times its size, and always to 1 GiB."""
_SKIP_BYTES = 1 << 20


class TooManyBytes(Exception):
    """More bytes arrived than the limit allows."""


class Readable(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        ...


class ByteCount:
    """The bytes read so far by all streams that share this count, and their `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0

    @property
    def left(self) -> int:
        """Return the number of bytes left before the limit."""
        return self.limit - self.total

    def add(self, count: int) -> None:
        """Add bytes to the count.

        Raises:
            TooManyBytes: the total exceeds `limit`.
        """
        self.total += count
        if self.total > self.limit:
            raise TooManyBytes(f"more than {self.limit:,} bytes received")


class Counted:
    """A forward-only stream that counts each byte, including skipped ones."""

    def __init__(self, source: Readable, count: ByteCount) -> None:
        self._source, self._count, self._at = source, count, 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or all.

        Raises:
            TooManyBytes: the limit is exceeded; at most one byte beyond it is read.
        """
        bound = self._count.left + 1
        content = self._source.read(bound if size < 0 else min(size, bound))
        self._at += len(content)
        self._count.add(len(content))
        return content

    def seek(self, position: int, whence: int = 0) -> int:
        """Skip forward to `position`, or to the end if that comes first."""
        assert whence == 0 and position >= self._at, "the stream is forward-only"
        while self._at < position and self.read(min(_SKIP_BYTES, position - self._at)):
            pass
        return self._at

    def tell(self) -> int:
        """Return the number of bytes read from this stream."""
        return self._at

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True; only forward seeks are supported."""
        return True


def read_up_to(source: Readable, limit: int) -> bytes:
    """Return all bytes of a source.

    Raises:
        TooManyBytes: it has more than `limit`.
    """
    counted, parts = Counted(source, ByteCount(limit)), []
    while part := counted.read(_SKIP_BYTES):
        parts.append(part)
    return b"".join(parts)
