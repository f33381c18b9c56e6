"""Versions that never change, and aliases that move: everything is an object that is created once.

    versions/000007.json        what version 7 is; created last, so a version is there whole or not at all
    files/<token>/...           its files
    moves/00000012.json         the twelfth move of aliases, and all aliases after it: the last move is the state

To take a number is to create its object, which one of many does: so two that publish at once get two numbers, and an alias
is moved from what was seen, or not at all. Both hold the generation of their writer's lease, if it has one (a tick): one that
finds a higher one stops. A move that was sent before its writer lost the lease still counts if its successor moved nothing.

An object that cannot be read does not stop the others. Other names below `versions/` and `moves/` are ignored. A damaged
record keeps its number: the version is listed as unreadable, and only what asks for this version fails. After a damaged move,
the aliases are those of the newest move that can be read, and the next move takes the number after the damaged one. Each such
object is named in a warning once; `raytl models gc` removes nothing until it is restored or deleted.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from raytl.errors import DiskError, NotFound, RegistryError
from raytl.events import Event, Message, OnEvent, ignore, once
from raytl.registry.creation import created
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
from raytl.store.contract import ObjectStore
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format, Unread
from raytl.stored.files import FileEntry

VERSIONS, FILES, MOVES = "versions/", "files/", "moves/"
_THREADS = 16
_MAX_DIGITS = 8
_STAMP = "%Y%m%dT%H%M%SZ"
T = TypeVar("T")


@dataclass(frozen=True)
class Survey:
    """All versions and moves of a registry, the objects that cannot be read, and the names of those that are neither."""

    records: list[Record]
    history: list[Move]
    unread: list[Unread]
    strays: list[str]


class Registry:
    """The versions of one model below a URI; `generation` is of the lease of whoever writes, 0 without one."""

    def __init__(self, store: ObjectStore, on_event: OnEvent = ignore) -> None:
        self.store, self._on_event, self._has_warned = store, on_event, False
        self.generation = 0
        self._note = once(on_event)

    @classmethod
    def open(cls, uri: str, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT) -> Registry:
        """The registry at `uri`, which need not exist yet."""
        return cls(open_store(uri.rstrip("/"), s3), on_event)

    @property
    def uri(self) -> str:
        """Where it is."""
        return self.store.uri

    def numbers(self) -> list[int]:
        """Return the numbers of all versions, oldest first, also of those whose records cannot be read."""
        return self._listed(VERSIONS, _version)[0]

    def record(self, number: int) -> Record:
        """What version `number` is.

        Raises:
            RegistryError: there is no such version (the error lists those that exist), or its record cannot be read.
        """
        try:
            return self._read(_version(number), RECORD_FORMAT, number)
        except NotFound:
            there = ", ".join(map(str, self.numbers()[-10:])) or "none yet"
            raise RegistryError(
                f"{self.uri}: there is no version {number}; the newest that there are: {there}"
            ) from None

    def records(self) -> list[Record]:
        """The versions whose records can be read, oldest first; a warning names the others."""
        return self._readable(self.numbers(), _version, RECORD_FORMAT)

    def newest_record(self) -> Record | None:
        """The newest version whose record can be read."""
        return self._newest(self.numbers(), _version, RECORD_FORMAT)

    def state(self) -> State:
        """Which version each alias names now.

        Raises:
            RegistryError: none of the moves can be read.
        """
        numbers = self._listed(MOVES, _move)[0]
        if not numbers:
            return State()
        move = self._newest(numbers, _move, MOVE_FORMAT)
        if move is None:
            raise RegistryError(
                f"{self.uri}/{MOVES}: none of the {len(numbers)} moves can be read, so no alias is known; expected one at least. "
                "Restore the newest one, or delete all of them and promote a version again."
            )
        return State(numbers[-1], move.aliases, move)

    def newest_state(self) -> State:
        """The state, though the store does not list its last moves yet: listings of some lag behind (OpenStack Swift's)."""
        state = self.state()
        with suppress(NotFound):
            while True:
                state = self._state_after(state)
        return state

    def history(self) -> list[Move]:
        """Every move of an alias that can be read, oldest first; a warning names the others."""
        return self._readable(self._listed(MOVES, _move)[0], _move, MOVE_FORMAT)

    def survey(self) -> Survey:
        """Everything in the registry, with what cannot be read and what is no part of it."""
        numbers, others = self._listed(VERSIONS, _version)
        moves, more = self._listed(MOVES, _move)
        records, damaged = self._read_all(numbers, _version, RECORD_FORMAT)
        history, torn = self._read_all(moves, _move, MOVE_FORMAT)
        return Survey(records, history, damaged + torn, others + more)

    def resolve(self, which: str | int, state: State | None = None) -> int:
        """The number of the version that an alias, or a number, names.

        Raises:
            RegistryError: no alias of that name; with those that there are.
        """
        if isinstance(which, int) or which.isdecimal():
            return int(which)
        aliases = (state or self.state()).aliases
        if which not in aliases:
            there = ", ".join(f"{name} ({number})" for name, number in sorted(aliases.items())) or "none yet"
            raise RegistryError(f"{self.uri}: there is no alias {which!r}; the aliases are: {there}")
        return aliases[which]

    def publish(self, folder: Path, about: About) -> Record:
        """A new version of what is in `folder`: its files first, then, once they are there, the record that takes a number.

        Raises:
            RegistryError: the newest version is of a later generation.
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
            number = max(self.numbers(), default=0) + 1
            while True:
                if self.generation:
                    for newest in self._readable([number - 1] if number > 1 else [], _version, RECORD_FORMAT):
                        self._refuse_later(newest.generation)
                record = Record(number, token, about, files, self.generation)
                if created(self.store, _version(number), record.encoded(), self._warn):
                    return record
                number += 1
        except DiskError:  # there is no record of them, and they take the space that is lacking
            for name in files:
                self.store.delete(f"{FILES}{token}/{name}")
            raise

    def move(self, changes: Mapping[str, int | None], seen: State, who: str, why: str, when: str = "") -> Move:
        """Moves all the aliases of `changes` (None takes one away) at once, if they still name what they did in `seen`.

        Raises:
            RegistryError: a version is not there, somebody else moved one of the aliases meanwhile, or the last move is of a
                later generation; nothing was moved.
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
            if created(self.store, _move(move.number), move.encoded(), self._warn):
                self._undo_if_removed(move, changes)
                return move
            state = self._state_after(state)
            self._refuse_moved(changes, seen, state)

    def promote(self, number: int, seen: State, who: str, why: str, when: str = "") -> Move:
        """Makes `number` the champion, and the champion the previous one, in one move."""
        changes = {CHAMPION: number}
        if seen.champion is not None and seen.champion != number:
            changes[PREVIOUS] = seen.champion
        return self.move(changes, seen, who, why, when)

    def rollback(self, who: str, why: str, when: str = "") -> Move:
        """Exchanges the champion and the previous one, in one move.

        Raises:
            RegistryError: there is no previous one.
        """
        seen = self.state()
        if seen.champion is None or PREVIOUS not in seen.aliases:
            raise RegistryError(
                f"{self.uri}: there is no previous champion to go back to; `raytl models list` shows all"
            )
        changes = {CHAMPION: seen.aliases[PREVIOUS], PREVIOUS: seen.champion}
        return self.move(changes, seen, who, why, when)

    def withdraw(self, record: Record) -> None:
        """Takes the version away; its files stay."""
        retried(lambda: self.store.delete(_version(record.number)))

    def restore(self, record: Record) -> None:
        """Puts back a version that was withdrawn."""
        retried(lambda: self.store.put_bytes(_version(record.number), record.encoded()))

    def _undo_if_removed(self, move: Move, changes: Mapping[str, int | None]) -> None:
        """Moves back where a version was removed while it was moved to (see `cleaning.clean`)."""
        try:
            for number in {number for number in changes.values() if number is not None}:
                self.record(number)
        except RegistryError:
            back = {alias: pair[0] for alias, pair in move.moved.items()}
            self.move(back, State(move.number, move.aliases, move), move.who, f"undo of move {move.number}", move.when)
            raise

    def _warn(self, event: Event) -> None:
        """Once is enough."""
        if not self._has_warned:
            self._has_warned = True
            self._on_event(event)

    def _state_after(self, state: State) -> State:
        """The state after the next move; where that cannot be read, the aliases are as they were."""
        number = state.moves + 1
        move = self._newest([number], _move, MOVE_FORMAT)
        return replace(state, moves=number) if move is None else State(number, move.aliases, move)

    def _listed(self, prefix: str, key_of: Callable[[int], str]) -> tuple[list[int], list[str]]:
        """The numbers of the objects below `prefix`, and the keys of those that have none."""
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
        """The object at `key`, which has to have the number that its name says."""
        value = kind.read(retried(lambda: self.store.get_bytes(key)), f"{self.uri}/{key}", self._note)
        if (found := getattr(value, "number", number)) != number:
            raise RegistryError(f"{self.uri}/{key}: number: found {found}; expected {number}. {kind.advice}")
        return value

    def _readable(self, numbers: Sequence[int], key_of: Callable[[int], str], kind: Format[T]) -> list[T]:
        """The objects that can be read; a warning names the others."""
        found, unread = self._read_all(numbers, key_of, kind)
        for each in unread:
            self._note(Message(f"unreadable, ignored: {each.reason}", "warning"))
        return found

    def _read_all(
        self, numbers: Sequence[int], key_of: Callable[[int], str], kind: Format[T]
    ) -> tuple[list[T], list[Unread]]:
        """The objects that can be read, and the others with their reasons."""

        def read(number: int) -> T | Unread | None:
            try:
                return self._read(key_of(number), kind, number)
            except NotFound:  # it was withdrawn since it was listed
                return None
            except RegistryError as error:
                return Unread(key_of(number), str(error))

        with ThreadPoolExecutor(_THREADS) as pool:
            found = [each for each in pool.map(read, numbers) if each is not None]
        unread = [each for each in found if isinstance(each, Unread)]
        return [each for each in found if not isinstance(each, Unread)], unread

    def _newest(self, numbers: Sequence[int], key_of: Callable[[int], str], kind: Format[T]) -> T | None:
        """The newest of the objects that can be read."""
        for number in reversed(numbers):
            try:
                return self._read(key_of(number), kind, number)
            except RegistryError as error:
                self._note(Message(f"unreadable, ignored: {error}", "warning"))
        return None

    def _refuse_later(self, generation: int) -> None:
        if generation > self.generation:
            raise RegistryError(
                f"{self.uri}: another raytl took over (its generation is {generation}, this one has {self.generation}); "
                "nothing more was written. Run the same command again to go on."
            )

    def _refuse_moved(self, changes: Mapping[str, int | None], seen: State, now: State) -> None:
        for alias in changes:
            if now.aliases.get(alias) != seen.aliases.get(alias):
                last = now.last
                assert last is not None, "a state that differs has a move"
                raise RegistryError(
                    f"{self.uri}: {alias} is version {now.aliases.get(alias)} by now ({last.who}, {last.when}: {last.why}), "
                    f"and was {seen.aliases.get(alias)} when this was decided; nothing was moved. Look again, then decide."
                )


def digest_of(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(path: Path) -> FileEntry:
    return FileEntry(path.stat().st_size, digest_of(path))


def _version(number: int) -> str:
    return f"{VERSIONS}{number:06d}.json"


def _move(number: int) -> str:
    return f"{MOVES}{number:08d}.json"
