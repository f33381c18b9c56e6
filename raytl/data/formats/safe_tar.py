"""Read untrusted tar files: forward only, with every inflated byte counted and headers bounded.

Names and attributes that do not fit a header precede it as extra members, which tarfile reads at once and keeps.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, Self, cast

from raytl.store.counted import ByteCount, Counted

MAX_EXTRA_HEADERS = 8
"""Extra headers before a member; writers use one pax header, or a GNU long name and long link."""
_EXTRA_TYPES = (b"x", b"g", b"X", b"L", b"K")  # pax, global pax, Solaris, GNU long names and links
_MAX_EXTRA_HEADER_BYTES = 1 << 20
_LENGTH_DIGITS = 7
_MAGIC: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x5d\0\0": lzma.open,
}
_BLOCK_OF_BZIP2 = (b"1AY&SY", b"\x17rE8P\x90")


class Header(tarfile.TarInfo):
    """A member header, read after the extra headers before it were checked."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        """Read the next header, and record if it is the end marker instead."""
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed leaves it out
            cast(Tar, tar).has_ended = True
            raise

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        cast(Tar, tar).count_header(self)
        process = super()._proc_builtin if self.type == tarfile.GNUTYPE_SPARSE else super()._proc_member  # type: ignore[misc]
        header: tarfile.TarInfo = process(tar)  # the map of a sparse file is unbounded and not needed
        return header

    def _proc_pax(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        """Read a pax header: the path and size of a member header, nothing of a global one.

        The parser of tarfile takes hours for a MB of digits (CVE-2024-6232).
        """
        assert tar.fileobj is not None, "it is open"
        content = tar.fileobj.read(self._block(self.size))  # type: ignore[attr-defined]
        try:
            member = self.fromtarfile(tar)
        except tarfile.HeaderError as exc:
            raise tarfile.SubsequentHeaderError(str(exc)) from None  # type: ignore[attr-defined]
        fields = {} if self.type == tarfile.XGLTYPE else _pax_fields(content[: self.size])
        if any(name.startswith(b"GNU.sparse.") for name in fields):
            member.type = tarfile.GNUTYPE_SPARSE
        if path := fields.get(b"path"):
            member.name = path.decode("utf-8", "surrogateescape").rstrip("/")
        if (size := fields.get(b"size", b"")).isdigit():
            member.size = int(size)
            stored = member.isreg() or member.type not in tarfile.SUPPORTED_TYPES
            tar.offset = member.offset_data + (member._block(member.size) if stored else 0)  # type: ignore[attr-defined]
        return member


def _pax_fields(content: bytes) -> dict[bytes, bytes]:
    """Return the fields of a pax header, one `<length> <name>=<value>` per line, up to the first malformed one."""
    fields: dict[bytes, bytes] = {}
    at = 0
    while (blank := content.find(b" ", at, at + _LENGTH_DIGITS + 1)) > at and content[at:blank].isdigit():
        end = at + int(content[at:blank])
        name, equals, value = content[blank + 1 : end - 1].partition(b"=")
        if not equals:
            break
        fields[name] = value
        at = end
    return fields


class Tar(tarfile.TarFile):
    """An open tar that keeps no member after the next is read."""

    tarinfo = Header
    has_ended = False
    _extra_headers = 0

    def count_header(self, header: tarfile.TarInfo) -> None:
        """Count the extra headers before a member.

        Raises:
            ReadError: they are too many or too large.
        """
        if header.type not in _EXTRA_TYPES:
            self._extra_headers = 0
            return
        self._extra_headers += 1
        if not 0 <= header.size <= _MAX_EXTRA_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes; expected at most {_MAX_EXTRA_HEADER_BYTES:,}")
        if self._extra_headers > MAX_EXTRA_HEADERS:
            raise tarfile.ReadError(f"more than {MAX_EXTRA_HEADERS} headers before one member")

    def next(self) -> tarfile.TarInfo | None:
        """Read the next member's header.

        Raises:
            ReadError: it is invalid.
        """
        try:
            member = super().next()
        except (ValueError, OverflowError) as exc:
            raise tarfile.ReadError(f"invalid header ({exc})") from exc
        if member is not None and member.size < 0:  # the next one would precede it
            raise tarfile.ReadError(f"a member of {member.size:,} bytes")
        return member

    def walk(self) -> Iterator[tarfile.TarInfo]:
        """Yield the members in order, folders too; read each before the next.

        Raises:
            ReadError: the end marker is missing. A tar truncated between two members would otherwise pass as a
                complete one with fewer.
        """
        while (member := self.next()) is not None:
            self.members.clear()  # type: ignore[attr-defined]  # typeshed leaves it out
            yield member
        if not self.has_ended:
            raise tarfile.ReadError("unexpected end of data")
        assert self.fileobj is not None, "it is open"
        while rest := self.fileobj.read(1 << 20):
            if rest.strip(b"\0"):
                raise tarfile.ReadError("data after the end marker; possibly two tars in one file")


@contextmanager
def opened(file: Path, count: ByteCount, *, plain: bool = False) -> Iterator[Tar]:
    """Open a tar, uncompressed only if `plain`; all inflated bytes are counted: content, headers and padding."""
    with (
        closing(file.open("rb") if plain else _source(file)) as source,
        Tar(fileobj=cast(IO[bytes], Counted(source, count))) as tar,
    ):
        yield tar


def fault_of(member: tarfile.TarInfo) -> str:
    """Return why a tar member is not a plain file; empty if it is."""
    if member.type == tarfile.GNUTYPE_SPARSE:
        return "is a sparse file"
    return "" if member.isreg() else "is a link" if member.islnk() or member.issym() else "is a device"


def _source(file: Path) -> Any:
    """Return the file opened for reading, decompressed if it starts with the magic number of a compression format."""
    with file.open("rb") as plain:
        head = plain.read(10)
    open_inflated = next((open_file for magic, open_file in _MAGIC.items() if head.startswith(magic)), None)
    is_name = head.startswith(b"BZh") and head[4:] not in _BLOCK_OF_BZIP2  # a plain tar starts with a file name
    return file.open("rb") if open_inflated is None or is_name else open_inflated(file)
