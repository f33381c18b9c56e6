"""One stored format: its type, its size limit, and the error and the advice for a damaged object."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from raytl.errors import RaytlError, RunError
from raytl.events import Message, OnEvent, ignore
from raytl.stored.document import parse
from raytl.stored.fault import Fault, dotted, mismatch
from raytl.stored.schema import Foreign, reader

VERSION = "format"
"""The key of the format's version, in objects that record one."""
_MAX_LISTED = 5
T = TypeVar("T")


@dataclass(frozen=True)
class Unread:
    """An object that cannot be read: its `key` or path, and the `reason`."""

    key: str
    reason: str


@dataclass(frozen=True)
class Format(Generic[T]):
    """The rules for reading objects of one kind.

    `kind` is the type of their values, `name` their name in errors ("a model card"), `advice` the advice for a damaged one.
    An object, or a line of JSON lines, has `max_bytes` at most, and all lines together `max_total_bytes`; an object of a
    newer `version` is rejected.
    """

    kind: Any
    name: str
    advice: str
    error: type[RaytlError] = RunError
    max_bytes: int = 4 << 20
    max_total_bytes: int = 4 << 30
    version: int = 1

    def read(self, content: bytes, where: str, on_event: OnEvent = ignore) -> T:
        """Return the value of an object, which errors call `where`; unknown keys are ignored and reported.

        Raises:
            RaytlError: it is damaged, too large, or of a newer version; see `error`.
        """
        value, foreign = self._read(content, where)
        if foreign:
            on_event(Message(f"{where}: {ignored(foreign)}", "warning"))
        return value

    def load(self, path: Path, on_event: OnEvent = ignore) -> T:
        """Return the value of the file at `path`; see `read`."""
        return self.read(self.content(path), str(path), on_event)

    def content(self, path: Path, *, lines: bool = False) -> bytes:
        """Return the bytes of the file at `path`: of one object, or of all `lines`. Only a regular file is opened."""
        limit = self.max_total_bytes if lines else self.max_bytes
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise self._error(str(path), f"not a regular file; expected {self.name}")
            if status.st_size > limit:
                raise self._error(str(path), f"found {status.st_size:,} bytes; expected {limit:,} at most")
            return path.read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise self._error(str(path), f"cannot be read ({reason}); expected {self.name}") from error

    def lines(self, content: bytes, where: str, on_event: OnEvent = ignore) -> Iterator[T]:
        """Yield the values of JSON lines, the last of which may lack its newline. Each unknown key is reported once.

        Raises:
            RaytlError: a line is damaged; with its number.
        """
        if len(content) > self.max_total_bytes:
            raise self._error(where, f"found {len(content):,} bytes; expected {self.max_total_bytes:,} at most")
        foreign: dict[tuple[str | int, ...], None] = {}
        for number, line in enumerate(content.removesuffix(b"\n").split(b"\n") if content else (), start=1):
            value, unknown = self._read(line, f"{where}:{number}")
            foreign |= dict.fromkeys(unknown)
            yield value
        if foreign:
            on_event(Message(f"{where}: {ignored(list(foreign))}", "warning"))

    def typed(self, plain: Any, where: str) -> T:
        """Return the typed value of parsed JSON; see `read`."""
        return self._typed(plain, where)[0]

    def _read(self, content: bytes, where: str) -> tuple[T, Foreign]:
        try:
            if len(content) > self.max_bytes:
                raise Fault(f"found {len(content):,} bytes", f"{self.max_bytes:,} at most")
            plain = parse(content)
        except Fault as fault:
            raise self._damaged(where, fault) from fault
        return self._typed(plain, where)

    def _typed(self, plain: Any, where: str) -> tuple[T, Foreign]:
        foreign: Foreign = []
        try:
            self._reject_newer(plain)
            value = reader(self.kind)(plain, foreign)
        except Fault as fault:
            raise self._damaged(where, fault) from fault
        return value, [keys for keys in foreign if keys != (VERSION,)]

    def _reject_newer(self, plain: Any) -> None:
        version = plain.get(VERSION) if isinstance(plain, dict) else None
        if isinstance(version, int) and not isinstance(version, bool) and version > self.version:
            raise mismatch(version, f"{self.version}, as a newer raytl wrote it (upgrade raytl to read it)").below(
                VERSION
            )

    def _damaged(self, where: str, fault: Fault) -> RaytlError:
        return self._error(where, str(fault) if fault.keys else f"cannot be read as {self.name}: {fault}")

    def _error(self, where: str, fault: str) -> RaytlError:
        return self.error(f"{where}: {fault}. {self.advice}")


def ignored(foreign: Foreign) -> str:
    """Return the text of the warning about ignored keys."""
    listed = ", ".join(dotted(keys) for keys in foreign[:_MAX_LISTED])
    more = f" and {len(foreign) - _MAX_LISTED} more" if len(foreign) > _MAX_LISTED else ""
    return f"ignored keys that this version of raytl does not know: {listed}{more}"
