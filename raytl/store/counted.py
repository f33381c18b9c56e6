"""Count the bytes that come out of a decompressor or a connection, and stop at a bound.

What a header announces is not believed: a few kB can inflate to GB, and a body need not end.
`lane` counts for itself, as it imports the standard library alone.
"""

from __future__ import annotations

from typing import Protocol

BOMB_RATIO, BOMB_BYTES = 100, 1 << 30
"""What a file may inflate to: so many times its size, and a GB in any case."""
_SKIP_BYTES = 1 << 20


class TooManyBytes(Exception):
    """More bytes came than the bound allows."""


class Readable(Protocol):
    """The one method that a source of bytes needs."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        ...


class ByteCount:
    """The bytes that came so far, of all streams that share this count, and the bound `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.came = 0

    @property
    def left(self) -> int:
        """Return how many bytes may still come."""
        return self.most - self.came

    def add(self, count: int) -> None:
        """Count bytes that came.

        Raises:
            TooManyBytes: with these, there are more than `most`.
        """
        self.came += count
        if self.came > self.most:
            raise TooManyBytes(f"more than {self.most:,} bytes came")


class Counted:
    """A stream that is read forward only, and each byte of it is counted, those that are skipped too."""

    def __init__(self, source: Readable, count: ByteCount) -> None:
        self._source, self._count, self._at = source, count, 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or all.

        Raises:
            TooManyBytes: there are more than the count allows; at most one byte above the bound is read.
        """
        bound = self._count.left + 1
        content = self._source.read(bound if size < 0 else min(size, bound))
        self._at += len(content)
        self._count.add(len(content))
        return content

    def seek(self, position: int, whence: int = 0) -> int:
        """Skip forward to `position`, or to the end where that comes first."""
        assert whence == 0 and position >= self._at, "it is read forward only"
        while self._at < position and self.read(min(_SKIP_BYTES, position - self._at)):
            pass
        return self._at

    def tell(self) -> int:
        """Return how many bytes of this stream were read."""
        return self._at

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True: forward."""
        return True


def read_up_to(source: Readable, most: int) -> bytes:
    """Return all bytes of a source.

    Raises:
        TooManyBytes: it has more than `most`.
    """
    counted, parts = Counted(source, ByteCount(most)), []
    while part := counted.read(_SKIP_BYTES):
        parts.append(part)
    return b"".join(parts)
