"""Versions that never change, and aliases that move: everything is an object that is created once.

    versions/000007.json        what version 7 is; created last, so a version is there whole or not at all
    files/<token>/...           its files
    moves/00000012.json         the twelfth move of aliases, and all aliases after it: the last move is the state

To take a number is to create its object, which one of many does: so two that publish at once get two numbers, and an alias
is moved from what was seen, or not at all.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from raytl.errors import DiskError, NotFound, RegistryError
from raytl.events import Event, OnEvent, ignore
from raytl.registry.creation import created
from raytl.registry.record import CHAMPION, PREVIOUS, About, FileEntry, Move, Record, State
from raytl.store.contract import ObjectStore
from raytl.store.open import open_store
from raytl.store.retry import retried

VERSIONS, FILES, MOVES = "versions/", "files/", "moves/"
_THREADS = 16
_STAMP = "%Y%m%dT%H%M%SZ"


class Registry:
    """The versions of one model below a URI."""

    def __init__(self, store: ObjectStore, on_event: OnEvent = ignore) -> None:
        self.store, self._on_event, self._has_warned = store, on_event, False

    @classmethod
    def open(cls, uri: str, on_event: OnEvent = ignore) -> Registry:
        """The registry at `uri`, which need not exist yet."""
        return cls(open_store(uri.rstrip("/")), on_event)

    @property
    def uri(self) -> str:
        """Where it is."""
        return self.store.uri

    def numbers(self) -> list[int]:
        """The versions that there are, oldest first."""
        return [_number(info.key) for info in retried(lambda: list(self.store.list(VERSIONS)))]

    def record(self, number: int) -> Record:
        """What version `number` is.

        Raises:
            RegistryError: there is none; with those that there are.
        """
        try:
            return Record.decoded(retried(lambda: self.store.get_bytes(_version(number))))
        except NotFound:
            there = ", ".join(map(str, self.numbers()[-10:])) or "none yet"
            raise RegistryError(
                f"{self.uri}: there is no version {number}; the newest that there are: {there}"
            ) from None

    def records(self) -> list[Record]:
        """All versions, oldest first."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self.record, self.numbers()))

    def state(self) -> State:
        """Which version each alias names now."""
        found = retried(lambda: list(self.store.list(MOVES)))
        return self._state_of(_number(found[-1].key)) if found else State()

    def newest_state(self) -> State:
        """The state, though the store does not list its last moves yet: listings of some lag behind (OpenStack Swift's)."""
        state = self.state()
        with suppress(NotFound):
            while True:
                state = self._state_of(state.moves + 1)
        return state

    def history(self) -> list[Move]:
        """Every move of an alias, oldest first."""
        found = [info.key for info in retried(lambda: list(self.store.list(MOVES)))]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(lambda key: Move.decoded(retried(lambda: self.store.get_bytes(key))), found))

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
        """A new version of what is in `folder`: its files first, then, once they are there, the record that takes a number."""
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
                record = Record(number, token, about, files)
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
            RegistryError: a version is not there, or somebody else moved one of the aliases meanwhile; nothing was moved.
        """
        for number in {number for number in changes.values() if number is not None}:
            self.record(number)
        state = seen
        while True:
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
            )
            if created(self.store, _move(move.number), move.encoded(), self._warn):
                self._undo_if_removed(move, changes)
                return move
            state = self._state_of(move.number)
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

    def _state_of(self, number: int) -> State:
        """The state after a move."""
        move = Move.decoded(retried(lambda: self.store.get_bytes(_move(number))))
        return State(move.number, move.aliases, move)

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


def _number(key: str) -> int:
    return int(key.rpartition("/")[2].removesuffix(".json"))


def _version(number: int) -> str:
    return f"{VERSIONS}{number:06d}.json"


def _move(number: int) -> str:
    return f"{MOVES}{number:08d}.json"
