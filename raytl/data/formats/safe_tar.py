"""Read tars that may be hostile: forward only, each inflated byte counted, with bounds on their headers.

Names and attributes that do not fit a header come before it, as members that tarfile reads at once and keeps.
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

MOST_NOTES = 8
"""Headers before that of one member; writers put one of pax there, or a long name and a long link of GNU's."""
_NOTES = (b"x", b"g", b"X", b"L", b"K")  # of pax, of all members of pax, of Solaris, and GNU's long names and links
_MOST_NOTES_BYTES = 1 << 20
_LENGTH_DIGITS = 7
_MAGIC: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x5d\0\0": lzma.open,
}
_BLOCK_OF_BZIP2 = (b"1AY&SY", b"\x17rE8P\x90")


class Header(tarfile.TarInfo):
    """A member's header, read once the headers before it were checked."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        """Read the next header, and note whether the mark of the end stands in its place."""
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed leaves it out
            cast(Tar, tar).has_ended = True
            raise

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        cast(Tar, tar).note(self)
        process = super()._proc_builtin if self.type == tarfile.GNUTYPE_SPARSE else super()._proc_member  # type: ignore[misc]
        found: tarfile.TarInfo = process(tar)  # a sparse file's map has no bound, and is not wanted
        return found

    def _proc_pax(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        """Read a header of pax: of those of one member, the path and the size; of those of all members, nothing.

        tarfile's own parser takes hours for a MB of digits (CVE-2024-6232).
        """
        assert tar.fileobj is not None, "it is open"
        content = tar.fileobj.read(self._block(self.size))  # type: ignore[attr-defined]
        try:
            found = self.fromtarfile(tar)
        except tarfile.HeaderError as exc:
            raise tarfile.SubsequentHeaderError(str(exc)) from None  # type: ignore[attr-defined]
        fields = {} if self.type == tarfile.XGLTYPE else _pax_fields(content[: self.size])
        if any(name.startswith(b"GNU.sparse.") for name in fields):
            found.type = tarfile.GNUTYPE_SPARSE
        if path := fields.get(b"path"):
            found.name = path.decode("utf-8", "surrogateescape").rstrip("/")
        if (size := fields.get(b"size", b"")).isdigit():
            found.size = int(size)
            stored = found.isreg() or found.type not in tarfile.SUPPORTED_TYPES
            tar.offset = found.offset_data + (found._block(found.size) if stored else 0)  # type: ignore[attr-defined]
        return found


def _pax_fields(content: bytes) -> dict[bytes, bytes]:
    """Return the fields of a header of pax, `<length> <name>=<value>` and a line's end each, up to the first that is none."""
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
    """An open tar that forgets each member once the next is read."""

    tarinfo = Header
    has_ended = False
    _notes = 0

    def note(self, header: tarfile.TarInfo) -> None:
        """Count the headers before a member's own one.

        Raises:
            ReadError: they are too many or too large.
        """
        if header.type not in _NOTES:
            self._notes = 0
            return
        self._notes += 1
        if not 0 <= header.size <= _MOST_NOTES_BYTES:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes; expected at most {_MOST_NOTES_BYTES:,}")
        if self._notes > MOST_NOTES:
            raise tarfile.ReadError(f"more than {MOST_NOTES} headers before one member")

    def next(self) -> tarfile.TarInfo | None:
        """Read the next member's header.

        Raises:
            ReadError: it makes no sense.
        """
        try:
            member = super().next()
        except (ValueError, OverflowError) as exc:
            raise tarfile.ReadError(f"a header that makes no sense ({exc})") from exc
        if member is not None and member.size < 0:  # the next one would lie before it
            raise tarfile.ReadError(f"a member of {member.size:,} bytes")
        return member

    def walk(self) -> Iterator[tarfile.TarInfo]:
        """Yield the members in order, folders too; read each before the next.

        Raises:
            ReadError: the tar does not end as tars do. One that was cut off between two members would else pass for a whole
                one of fewer.
        """
        while (member := self.next()) is not None:
            self.members.clear()  # type: ignore[attr-defined]  # typeshed leaves it out
            yield member
        if not self.has_ended:
            raise tarfile.ReadError("unexpected end of data")
        assert self.fileobj is not None, "it is open"
        while rest := self.fileobj.read(1 << 20):
            if rest.strip(b"\0"):
                raise tarfile.ReadError("there is more behind its end: two tars in one file?")


@contextmanager
def opened(file: Path, count: ByteCount, *, plain: bool = False) -> Iterator[Tar]:
    """Open a tar, compressed unless it has to be `plain`; all that is inflated is counted: contents, headers, padding."""
    with (
        closing(file.open("rb") if plain else _source(file)) as source,
        Tar(fileobj=cast(IO[bytes], Counted(source, count))) as tar,
    ):
        yield tar


def fault_of(member: tarfile.TarInfo) -> str:
    """Return why a member of a tar is no plain file; empty for one."""
    if member.type == tarfile.GNUTYPE_SPARSE:
        return "is a sparse file"
    return "" if member.isreg() else "is a link" if member.islnk() or member.issym() else "is a device"


def _source(file: Path) -> Any:
    """Return the file opened for reading, inflated where it begins as compressed files do."""
    with file.open("rb") as plain:
        head = plain.read(10)
    inflated = next((opener for magic, opener in _MAGIC.items() if head.startswith(magic)), None)
    is_name = head.startswith(b"BZh") and head[4:] not in _BLOCK_OF_BZIP2  # a plain tar begins with a file's name
    return file.open("rb") if inflated is None or is_name else inflated(file)
