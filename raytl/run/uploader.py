"""Upload checkpoints in the background during training."""

from __future__ import annotations

import secrets
import shutil
import threading
from pathlib import Path

from raytl.errors import Conflict, RaytlError, StoreError, Unavailable
from raytl.events import Message, OnEvent, ignore
from raytl.run.links import identity_of, link_tree
from raytl.run.mirror import BEST, LAST, Mirror
from raytl.store.lease import Watch, WriteToken
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

_PAUSE_S = 1.0
"""Pause before a retry."""


class Uploader:
    """Push submitted folders in a thread, the newest version of each, and then all other files.

    A submitted folder may be replaced at once: its files are hard-linked. While the store is unreachable, training
    continues and the newest version waits. The uploader writes with `write_token`, by default the run's current one:
    uploads wait while its holder sends no heartbeat, and stop after a takeover.
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

    def submit(self, name: str) -> None:
        """Submit the folder `name`, in its current state, for upload.

        Raises:
            StoreError: an earlier upload failed permanently, for example because another run took over.
        """
        held, folder = self._scratch / secrets.token_hex(4), self._mirror.root / name
        identity = identity_of(folder)
        link_tree(folder, held)
        with self._changed:
            if self._error is not None:
                raise self._error
            before = self._waiting.pop(name, None)
            self._waiting[name] = (held, identity)
            self._changed.notify_all()
        if before is not None:
            shutil.rmtree(before[0], ignore_errors=True)

    def upload_pending(self) -> None:
        """Upload what an earlier process of this node left, and wait for it.

        Raises:
            StoreError: the upload failed.
        """
        for name in (BEST, LAST):
            if not self._mirror.is_pushed(name):
                self.submit(name)
        self.flush()

    def flush(self) -> None:
        """Wait until all submitted folders are uploaded.

        Raises:
            StoreError: the upload failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or not (self._waiting or self._busy))
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        """Wait for all uploads, and stop the thread.

        Raises:
            StoreError: the upload failed.
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
                self._defer(batch, exc)
            except RaytlError as exc:
                self._fail(exc)
                return
            except Exception as exc:  # a failed upload must not look finished
                self._fail(StoreError(f"{self._mirror.store.uri}: the upload of checkpoints failed ({exc!r})"))
                return

    def _next(self) -> dict[str, tuple[Path, list[int]]] | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closing)
            batch, self._waiting, self._busy = self._waiting, {}, True
            return batch or None

    def _push(self, batch: dict[str, tuple[Path, list[int]]]) -> None:
        """Push the last checkpoint last: a run that resumes from it needs the best checkpoint and the metrics."""
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
            self._watch.check()  # the lease is still held: a late write of an earlier holder caused the conflict
            self._mirror.push_folder(name, held, identity, overwrite=True)

    def _defer(self, batch: dict[str, tuple[Path, list[int]]], exc: Unavailable) -> None:
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
            self._emit(Message(f"upload of checkpoints deferred; will retry: {exc}", "warning"))
            with self._changed:
                self._changed.wait_for(lambda: self._closing, timeout=_PAUSE_S)

    def _fail(self, exc: RaytlError) -> None:
        with self._changed:
            self._error = exc
            self._changed.notify_all()
