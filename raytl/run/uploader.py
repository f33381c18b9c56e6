"""Checkpoints on their way to the store while training goes on."""

from __future__ import annotations

import secrets
import shutil
import threading
from pathlib import Path

from raytl.errors import Conflict, RaytlError, StoreError, Unavailable
from raytl.events import Message, OnEvent, ignore
from raytl.run.links import held_as, identity_of
from raytl.run.mirror import BEST, LAST, Mirror
from raytl.store.lease import Watch, WriteToken
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

_PAUSE_S = 1.0
"""Before what could not be stored is tried again."""


class Uploader:
    """Pushes what it is given in a thread of its own, the newest of each folder; then the files beside them.

    A folder may be replaced as soon as it was given: its files are held by links. While the store does not answer,
    training goes on and the newest state waits. It writes with `right`, by default the run's own as it is now: while its
    holder is not heard of everything waits, and once another one has it nothing more is pushed.
    """

    def __init__(
        self,
        mirror: Mirror,
        emit: OnEvent = ignore,
        write_token: WriteToken | None = None,
        s3: S3Settings = ENVIRONMENT,
    ) -> None:
        self._mirror, self._emit = mirror, emit
        self._watch = Watch(write_token, mirror.store, s3=s3)
        mirror.generation = self._watch.generation
        self._waiting: dict[str, tuple[Path, list[int]]] = {}
        self._changed = threading.Condition()
        self._busy, self._closing = False, False
        self._error: RaytlError | None = None
        self._scratch = mirror.root / ".uploads"
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._thread = threading.Thread(target=self._run, name="upload", daemon=True)
        self._thread.start()

    def give(self, name: str) -> None:
        """Have the folder `name`, as it is now, pushed.

        Raises:
            StoreError: an earlier push failed for good, for example as another run took over.
        """
        held, folder = self._scratch / secrets.token_hex(4), self._mirror.root / name
        identity = identity_of(folder)
        held_as(folder, held)
        with self._changed:
            if self._error is not None:
                raise self._error
            before = self._waiting.pop(name, None)
            self._waiting[name] = (held, identity)
            self._changed.notify_all()
        if before is not None:
            shutil.rmtree(before[0], ignore_errors=True)

    def upload_pending(self) -> None:
        """Push what an earlier process of this node left unpushed, and wait until it is there.

        Raises:
            StoreError: it is not.
        """
        for name in (BEST, LAST):
            if not self._mirror.is_pushed(name):
                self.give(name)
        self.flush()

    def flush(self) -> None:
        """Wait until what was given is there.

        Raises:
            StoreError: it is not.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or not (self._waiting or self._busy))
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        """Wait until everything is there.

        Raises:
            StoreError: it is not.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        shutil.rmtree(self._scratch, ignore_errors=True)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._push(batch)
            except Unavailable as exc:
                self._put_off(batch, exc)
            except RaytlError as exc:
                self._fail(exc)
                return
            except Exception as exc:  # a thread that dies must not look like one that is done
                self._fail(StoreError(f"{self._mirror.store.uri}: checkpoints could not be stored ({exc!r})"))
                return

    def _next(self) -> dict[str, tuple[Path, list[int]]] | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closing)
            batch, self._waiting, self._busy = self._waiting, {}, True
            return batch or None

    def _push(self, batch: dict[str, tuple[Path, list[int]]]) -> None:
        """The last checkpoint goes last: whoever goes on from it finds the best one and the metrics that it speaks of."""
        self._watch.check()
        for name in (BEST, LAST):
            if name == LAST:
                self._mirror.push()
            if name in batch:
                self._push_folder(name, *batch[name])
        for held, _ in batch.values():
            shutil.rmtree(held, ignore_errors=True)

    def _push_folder(self, name: str, held: Path, identity: list[int]) -> None:
        try:
            self._mirror.push_folder(name, held, identity)
        except Conflict:
            if self._watch.token is None:
                raise
            self._watch.check()  # the right is still ours: it was a late write of one that had it before
            self._mirror.push_folder(name, held, identity, over=True)

    def _put_off(self, batch: dict[str, tuple[Path, list[int]]], exc: Unavailable) -> None:
        with self._changed:
            superseded = [held for name, (held, _) in batch.items() if name in self._waiting]
            self._waiting = {**batch, **self._waiting}
            closing = self._closing
        for held in superseded:
            shutil.rmtree(held, ignore_errors=True)
        if closing:
            self._fail(exc)
            with self._changed:
                self._waiting = {}
        else:
            self._emit(Message(f"checkpoints wait on this node: {exc}", "warning"))
            with self._changed:
                self._changed.wait_for(lambda: self._closing, timeout=_PAUSE_S)

    def _fail(self, exc: RaytlError) -> None:
        with self._changed:
            self._error = exc
            self._changed.notify_all()
