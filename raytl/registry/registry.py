"""Versions that never change, and aliases that move: every object is created once.

    versions/000007.json        the record of version 7; created last, so a version is complete or absent
    files/<token>/...           its files
    moves/00000012.json         the twelfth move of aliases, and all aliases after it: the last move is the state

A number is taken by creating its object, which only one process can do: two that publish at once get two numbers, and an alias
is moved from the state that the caller saw, or not at all. Both objects have the generation of their writer's lease, if it has
one (a tick); a writer that finds a higher generation stops. A move sent before its writer lost the lease still counts if the
next lease holder moved nothing. The number of a deleted record is not given again while an alias names it, or it has bundles or
reports.

An unreadable object does not affect the others. Other names below `versions/` and `moves/` are ignored. A damaged record keeps
its number: the version is listed as unreadable, and only reading this version fails. After a damaged move, the aliases are
those of the newest readable move, and the next move takes the number after the damaged one. Each such object is warned about
once; `raytl models gc` removes nothing until it is restored or deleted.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TypeVar

from raytl.errors import DiskError, NotFound, RegistryError
from raytl.events import Event, Message, OnEvent, ignore, once
from raytl.registry.creation import create_once
from raytl.registry.record import (
    CHAMPION,
    MOVE_FORMAT,
    PREVIOUS,
    RECORD_FORMAT,
    About,
    Move,
    Record,
    State,
)
from raytl.store.contract import ObjectInfo, ObjectStore
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format, Unread
from raytl.stored.files import FileEntry

VERSIONS, FILES, MOVES = "versions/", "files/", "moves/"
BESIDE = ("bundles/", "reports/")
"""What is added to a version later lies below these, by its number."""
_THREADS = 16
_MAX_DIGITS = 8
_STAMP = "%Y%m%dT%H%M%SZ"
T = TypeVar("T")


@dataclass(frozen=True)
class Survey:
    """All versions and moves of a registry, the unreadable objects, and the names of objects that are neither."""

    records: list[Record]
    history: list[Move]
    unread: list[Unread]
    strays: list[str]


class Registry:
    """The versions of one model below a URI; `generation` is that of the writer's lease, 0 without one."""

    def __init__(self, store: ObjectStore, on_event: OnEvent = ignore) -> None:
        self.store, self._on_event, self._has_warned = store, on_event, False
        self.generation = 0
        self._note = once(on_event)

    @classmethod
    def open(cls, uri: str, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT) -> Registry:
        """Open the registry at `uri`, which need not exist yet."""
        return cls(open_store(uri.rstrip("/"), s3), on_event)

    @property
    def uri(self) -> str:
        """The URI of the registry."""
        return self.store.uri

    def numbers(self) -> list[int]:
        """Return the numbers of all versions, oldest first, including those with unreadable records."""
        return self._listed(VERSIONS, _version)[0]

    def record(self, number: int) -> Record:
        """Return the record of version `number`.

        Raises:
            RegistryError: no such version (the error lists the newest ones), or its record is unreadable.
        """
        try:
            return self._read(_version(number), RECORD_FORMAT, number)
        except NotFound:
            newest = ", ".join(map(str, self.numbers()[-10:])) or "none yet"
            raise RegistryError(f"{self.uri}: no version {number}; the newest versions: {newest}") from None

    def records(self) -> list[Record]:
        """Return the readable records, oldest first; a warning names the others."""
        return self._readable(self.numbers(), _version, RECORD_FORMAT)

    def newest_record(self) -> Record | None:
        """Return the newest readable record."""
        return self._newest(self.numbers(), _version, RECORD_FORMAT)

    def state(self) -> State:
        """Return the version that each alias names.

        Raises:
            RegistryError: none of the moves is readable.
        """
        numbers = self._listed(MOVES, _move)[0]
        if not numbers:
            return State()
        move = self._newest(numbers, _move, MOVE_FORMAT)
        if move is None:
            raise RegistryError(
                f"{self.uri}/{MOVES}: none of the {len(numbers)} moves is readable, so no alias is known; expected at least one. "
                "Restore the newest one, or delete all of them and promote a version again."
            )
        return State(numbers[-1], move.aliases, move)

    def newest_state(self) -> State:
        """Return the state including moves that the store does not list yet: listings may lag (OpenStack Swift)."""
        state = self.state()
        with suppress(NotFound):
            while True:
                state = self._state_after(state)
        return state

    def history(self) -> list[Move]:
        """Return the readable moves, oldest first; a warning names the others."""
        return self._readable(self._listed(MOVES, _move)[0], _move, MOVE_FORMAT)

    def survey(self) -> Survey:
        """Return everything in the registry, with unreadable and foreign objects."""
        numbers, others = self._listed(VERSIONS, _version)
        moves, more = self._listed(MOVES, _move)
        records, damaged = self._read_all(numbers, _version, RECORD_FORMAT)
        history, torn = self._read_all(moves, _move, MOVE_FORMAT)
        return Survey(records, history, damaged + torn, others + more)

    def resolve(self, which: str | int, state: State | None = None) -> int:
        """Return the version number of an alias or of a number.

        Raises:
            RegistryError: no such alias; lists the existing ones.
        """
        if isinstance(which, int) or which.isdecimal():
            return int(which)
        aliases = (state or self.state()).aliases
        if which not in aliases:
            existing = ", ".join(f"{name} ({number})" for name, number in sorted(aliases.items())) or "none yet"
            raise RegistryError(f"{self.uri}: no alias {which!r}; the aliases: {existing}")
        return aliases[which]

    def publish(self, folder: Path, about: About) -> Record:
        """Publish `folder` as a new version: upload its files, then create the record, which takes a number.

        Raises:
            RegistryError: the newest version has a later generation.
        """
        token = f"{datetime.now(UTC).strftime(_STAMP)}-{secrets.token_hex(6)}"
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): _entry(path) for path in paths}
        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                list(
                    pool.map(
                        lambda name: retried(lambda: self.store.put_file(folder / name, f"{FILES}{token}/{name}")),
                        files,
                    )
                )
            newest, used = max(self.numbers(), default=0), self._used()
            while True:
                number = next(number for number in count(newest + 1) if number not in used)
                if self.generation:
                    for last in self._readable([newest] if newest else [], _version, RECORD_FORMAT):
                        self._refuse_later(last.generation)
                record = Record(number, token, about, files, self.generation)
                if create_once(self.store, _version(number), record.encoded(), self._warn):
                    return record
                newest = number
        except DiskError:  # they have no record and take up the missing space
            for name in files:
                self.store.delete(f"{FILES}{token}/{name}")
            raise

    def move(self, changes: Mapping[str, int | None], seen: State, who: str, why: str, when: str = "") -> Move:
        """Move all aliases of `changes` (None removes one) at once, if they still name the versions that they did in `seen`.

        Raises:
            RegistryError: a version does not exist, another process moved one of the aliases meanwhile, or the last move has a
                later generation; no alias was moved.
        """
        for number in {number for number in changes.values() if number is not None}:
            self.record(number)
        state = seen
        while True:
            if self.generation:
                self._refuse_later(state.generation)
            aliases = {**state.aliases, **changes}
            moved = {alias: (state.aliases.get(alias), number) for alias, number in changes.items()}
            move = Move(
                number=state.moves + 1,
                when=when or datetime.now(UTC).isoformat(timespec="seconds"),
                who=who,
                why=why,
                moved={alias: pair for alias, pair in moved.items() if pair[0] != pair[1]},
                aliases={alias: number for alias, number in sorted(aliases.items()) if number is not None},
                token=secrets.token_hex(8),
                generation=max(self.generation, state.generation),
            )
            if create_once(self.store, _move(move.number), move.encoded(), self._warn):
                self._undo_if_removed(move, changes)
                return move
            state = self._state_after(state)
            self._refuse_moved(changes, seen, state)

    def promote(self, number: int, seen: State, who: str, why: str, when: str = "") -> Move:
        """Move `champion` to version `number` and `previous` to the old champion, in one move."""
        changes = {CHAMPION: number}
        if seen.champion is not None and seen.champion != number:
            changes[PREVIOUS] = seen.champion
        return self.move(changes, seen, who, why, when)

    def rollback(self, who: str, why: str, when: str = "") -> Move:
        """Swap `champion` and `previous`, in one move.

        Raises:
            RegistryError: there is no previous champion.
        """
        seen = self.state()
        if seen.champion is None or PREVIOUS not in seen.aliases:
            raise RegistryError(
                f"{self.uri}: no previous champion to roll back to; `raytl models list` shows all versions"
            )
        changes = {CHAMPION: seen.aliases[PREVIOUS], PREVIOUS: seen.champion}
        return self.move(changes, seen, who, why, when)

    def added(self) -> dict[int, list[ObjectInfo]]:
        """Return the objects of bundles and reports that were added later, by the number of their version."""
        objects: dict[int, list[ObjectInfo]] = {}
        for prefix in BESIDE:
            for info in retried(lambda prefix=prefix: list(self.store.list(prefix))):  # type: ignore[misc]
                name = info.key.split("/")[1]
                if name.isascii() and name.isdecimal() and len(name) <= _MAX_DIGITS and name == f"{int(name):06d}":
                    objects.setdefault(int(name), []).append(info)
        return objects

    def withdraw(self, record: Record) -> None:
        """Delete the version's record; its files stay."""
        retried(lambda: self.store.delete(_version(record.number)))

    def restore(self, record: Record) -> None:
        """Restore a withdrawn version."""
        retried(lambda: self.store.put_bytes(_version(record.number), record.encoded()))

    def _used(self) -> set[int]:
        """Return the versions that an alias names or that have bundles or reports. Their records may have been deleted by hand:
        another version of that number would be the champion unjudged, with the bundles of another model."""
        move = self._newest(self._listed(MOVES, _move)[0], _move, MOVE_FORMAT)
        return {*self.added(), *(move.aliases.values() if move else ())}

    def _undo_if_removed(self, move: Move, changes: Mapping[str, int | None]) -> None:
        """Undo the move if its version was removed meanwhile (see `cleaning.clean`)."""
        try:
            for number in {number for number in changes.values() if number is not None}:
                self.record(number)
        except RegistryError:
            back = {alias: pair[0] for alias, pair in move.moved.items()}
            self.move(back, State(move.number, move.aliases, move), move.who, f"undo of move {move.number}", move.when)
            raise

    def _warn(self, event: Event) -> None:
        """Report the event the first time only."""
        if not self._has_warned:
            self._has_warned = True
            self._on_event(event)

    def _state_after(self, state: State) -> State:
        """Return the state after the next move; if that is unreadable, the aliases are unchanged."""
        number = state.moves + 1
        move = self._newest([number], _move, MOVE_FORMAT)
        return replace(state, moves=number) if move is None else State(number, move.aliases, move)

    def _listed(self, prefix: str, key_of: Callable[[int], str]) -> tuple[list[int], list[str]]:
        """Return the numbers of the objects below `prefix`, and the keys of objects without one."""
        numbers, strays = [], []
        for info in retried(lambda: list(self.store.list(prefix))):
            digits = info.key.removeprefix(prefix).removesuffix(".json")
            is_ours = digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS
            if is_ours and key_of(int(digits)) == info.key:
                numbers.append(int(digits))
            else:
                strays.append(info.key)
        return sorted(numbers), strays

    def _read(self, key: str, kind: Format[T], number: int) -> T:
        """Return the object at `key`, whose number must match its name."""
        value = kind.read(retried(lambda: self.store.get_bytes(key)), f"{self.uri}/{key}", self._note)
        if (stored_number := getattr(value, "number", number)) != number:
            raise RegistryError(f"{self.uri}/{key}: number: found {stored_number}; expected {number}. {kind.advice}")
        return value

    def _readable(self, numbers: Sequence[int], key_of: Callable[[int], str], kind: Format[T]) -> list[T]:
        """Return the readable objects; a warning names the others."""
        objects, unread = self._read_all(numbers, key_of, kind)
        for each in unread:
            self._note(Message(f"ignored unreadable object: {each.reason}", "warning"))
        return objects

    def _read_all(
        self, numbers: Sequence[int], key_of: Callable[[int], str], kind: Format[T]
    ) -> tuple[list[T], list[Unread]]:
        """Return the readable objects, and the others with their reasons."""

        def read(number: int) -> T | Unread | None:
            try:
                return self._read(key_of(number), kind, number)
            except NotFound:  # withdrawn after it was listed
                return None
            except RegistryError as error:
                return Unread(key_of(number), str(error))

        with ThreadPoolExecutor(_THREADS) as pool:
            objects = [each for each in pool.map(read, numbers) if each is not None]
        unread = [each for each in objects if isinstance(each, Unread)]
        return [each for each in objects if not isinstance(each, Unread)], unread

    def _newest(self, numbers: Sequence[int], key_of: Callable[[int], str], kind: Format[T]) -> T | None:
        """Return the newest readable object."""
        for number in reversed(numbers):
            try:
                return self._read(key_of(number), kind, number)
            except RegistryError as error:
                self._note(Message(f"ignored unreadable object: {error}", "warning"))
        return None

    def _refuse_later(self, generation: int) -> None:
        if generation > self.generation:
            raise RegistryError(
                f"{self.uri}: another raytl took over (generation {generation}, this process has {self.generation}); nothing more "
                "was written. Run the same command again to continue."
            )

    def _refuse_moved(self, changes: Mapping[str, int | None], seen: State, now: State) -> None:
        for alias in changes:
            if now.aliases.get(alias) != seen.aliases.get(alias):
                last = now.last
                assert last is not None, "a state that differs has a move"
                raise RegistryError(
                    f"{self.uri}: {alias} is now version {now.aliases.get(alias)} ({last.who}, {last.when}: {last.why}), but was "
                    f"{seen.aliases.get(alias)} when this was decided; no alias was moved. Check, then run again."
                )


def digest_of(path: Path) -> str:
    """Return the sha256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(path: Path) -> FileEntry:
    return FileEntry(path.stat().st_size, digest_of(path))


def _version(number: int) -> str:
    return f"{VERSIONS}{number:06d}.json"


def _move(number: int) -> str:
    return f"{MOVES}{number:08d}.json"
