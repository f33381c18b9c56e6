"""Checkpoints on their way to the store while training goes on."""

from __future__ import annotations

import secrets
import shutil
import threading
from pathlib import Path

from raytl.errors import RaytlError, Unavailable
from raytl.events import Message, OnEvent, ignore
from raytl.run.mirror import BEST, LAST, Mirror, held_as


class Uploader:
    """Pushes what it is given in a thread of its own, the newest of each folder; then the files beside them.

    A folder may be replaced as soon as it was given: its files are held by links. While the store does not answer,
    training goes on and the newest state waits.
    """

    def __init__(self, mirror: Mirror, emit: OnEvent = ignore) -> None:
        self._mirror, self._emit = mirror, emit
        self._waiting: dict[str, Path] = {}
        self._changed = threading.Condition()
        self._closing = False
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
        held = self._scratch / secrets.token_hex(4)
        held_as(self._mirror.root / name, held)
        with self._changed:
            if self._error is not None:
                raise self._error
            before = self._waiting.pop(name, None)
            self._waiting[name] = held
            self._changed.notify()
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)

    def close(self) -> None:
        """Wait until everything is there.

        Raises:
            StoreError: it is not.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
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

    def _next(self) -> dict[str, Path] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            batch, self._waiting = self._waiting, {}
            return batch or None

    def _push(self, batch: dict[str, Path]) -> None:
        """The last checkpoint goes last: whoever goes on from it finds the best one and the metrics that it speaks of."""
        if BEST in batch:
            self._mirror.push_folder(BEST, batch[BEST])
        self._mirror.push()
        if LAST in batch:
            self._mirror.push_folder(LAST, batch[LAST])
        for held in batch.values():
            shutil.rmtree(held, ignore_errors=True)

    def _put_off(self, batch: dict[str, Path], exc: Unavailable) -> None:
        with self._changed:
            self._waiting = {**batch, **self._waiting}
            closing = self._closing
        if closing:
            self._fail(exc)
            with self._changed:
                self._waiting = {}
        else:
            self._emit(Message(f"checkpoints wait on this node: {exc}", "warning"))

    def _fail(self, exc: RaytlError) -> None:
        with self._changed:
            self._error = exc
