"""Where a run is kept, a folder or a prefix in a bucket, and the folder on this node that is worked in."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from raytl.config.places import run_uri
from raytl.errors import RaytlError, RunError, StoreError, Unavailable
from raytl.events import Message, OnEvent, ignore
from raytl.registry.reader import fetched
from raytl.registry.reference import is_reference
from raytl.registry.reports import Reports
from raytl.run.failure import failure_recorded
from raytl.run.folder import RunFolder, working_copy
from raytl.run.mirror import Mirror
from raytl.run.owner import set_aside, sole_owner
from raytl.run.uploader import Uploader
from raytl.store.cache import cache_root
from raytl.store.contract import ObjectStore
from raytl.store.lease import Lease, WriteToken, held
from raytl.store.open import open_store
from raytl.store.pins import pin, sweep_out, unpin
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import is_remote

if TYPE_CHECKING:
    from raytl.config.schema import Experiment


_EVERY_S = 15.0
"""Seconds between two looks at what changed."""
_GUESTS = "trials"
"""Where in a node's cache those work who write with another process's right."""


class RunStore:
    """The run at `uri`. In a bucket, the node's folder is a working copy of it; elsewhere it is the folder itself, and
    fetching and pushing do nothing.

    What is below `apart` are runs with homes of their own. Who writes to one with the `right` of its owner, on whatever
    machine, has a working copy that nobody else has, until it leaves.
    """

    def __init__(
        self,
        uri: str,
        *,
        write_token: WriteToken | None = None,
        apart: str | None = None,
        s3: S3Settings = ENVIRONMENT,
    ) -> None:
        self.uri, self._right, self._s3 = uri, write_token, s3
        self._place = _guests_place(uri, write_token) if write_token and is_remote(uri) else None
        self.folder = RunFolder(self._place / "run" if self._place else working_copy(uri, s3))
        generation = write_token.generation if write_token else 0
        self._mirror = Mirror(open_store(uri, s3), self.folder.root, apart, generation) if is_remote(uri) else None
        self._reports: Reports | None = None
        self._lease: Lease | None = None

    @classmethod
    def of(cls, experiment: Experiment) -> RunStore:
        """Where `experiment` runs: `<storage.uri>/<name>`."""
        return cls(run_uri(experiment), s3=S3Settings.of(experiment.storage))

    @classmethod
    def open(cls, uri: str, s3: S3Settings = ENVIRONMENT) -> RunStore:
        """The run that is at `uri`, or that `models:...` names a version of, fetched; RunError with what is there instead if
        it is no run."""
        if is_reference(uri):
            return cls._published(uri, s3)
        run_store = cls(uri, s3=s3)
        run_store.fetch()
        if run_store._mirror is not None and not run_store.folder.experiment.exists():
            raise RunError(f"{uri}: no run is there, experiment.yaml is missing; `raytl train` makes one")
        RunFolder.open(run_store.folder.root)
        return run_store

    @property
    def write_token(self) -> WriteToken | None:
        """The right to write here, for the processes that do so for its owner; None where this is a folder."""
        if self._mirror is None or self._lease is None:
            return None
        return WriteToken(self._mirror.store.uri, self._lease.holder.token, self._lease.holder.generation)

    @classmethod
    def _published(cls, uri: str, s3: S3Settings) -> RunStore:
        """A version as the run that it was made from; what is added to it is kept beside it in its registry."""
        registry, record, folder = fetched(uri, s3=s3)
        run_store = cls(str(folder))
        run_store.uri = uri  # where another node finds it
        run_store._reports = Reports(registry, record.number, folder, s3)
        run_store.fetch()
        return run_store

    def fetch(self) -> None:
        """Bring the node's folder up to what is stored."""
        if self._place is not None:
            pin(self._place)
            sweep_out(_GUESTS)
        if self._mirror is not None:
            self._mirror.fetch()
        if self._reports is not None:
            self._reports.fetch()

    def leave(self) -> None:
        """Drop the working copy of one who writes with another's right; what was not stored by now is lost."""
        if self._place is not None:
            unpin(self._place)

    def push(self) -> None:
        """Store what changed in the node's folder, but for the checkpoints."""
        if self._lease is not None:
            self._lease.check()
        if self._mirror is not None:
            self._mirror.push()
        if self._reports is not None:
            self._reports.push()

    def uploader(self, emit: OnEvent = ignore, lease: WriteToken | None = None) -> Uploader | None:
        """What pushes checkpoints while training goes on, by default with the run's lease as it is now; None where there is
        nothing to push."""
        return Uploader(self._mirror, emit, self._right or lease, self._s3) if self._mirror is not None else None

    def set_aside(self, on_event: OnEvent) -> None:
        """Give the run that is there another name, if there is one, and say which.

        Raises:
            RunError: another raytl writes to it.
        """
        if self._mirror is None:
            set_aside(self.folder.root, on_event)
            return
        with sole_owner(self.folder.root), self._leased(self._mirror.store, on_event):
            self._mirror.fetch()
            if self._mirror.is_empty:
                return
            number = 1
            while next((aside := open_store(f"{self.uri}.old-{number}", self._s3)).list(), None) is not None:
                number += 1
            self._mirror.set_aside(aside)
        on_event(Message(f"the run that was in {self.uri} is now in {aside.uri}"))

    @contextmanager
    def kept(self, on_event: OnEvent = ignore, store: Callable[[], None] | None = None) -> Iterator[None]:
        """Inside, what changes in the node's folder is stored every now and then, checkpoints too; at the end all of it.
        By `store` where it is given, which then calls `push_all`.

        Raises:
            StoreError: it could not be stored; it is still in the node's folder.
        """
        if self._mirror is None:
            yield
            return
        done, troubles = threading.Event(), list[RaytlError]()
        put = store or self.push_all

        def keep() -> None:
            while not done.wait(_EVERY_S):
                try:
                    put()
                except Unavailable as exc:
                    on_event(Message(f"what is new waits on this node: {exc}", "warning"))
                except RaytlError as exc:
                    on_event(Message(str(exc), "error"))
                    troubles.append(exc)
                    return
                except Exception as exc:  # a thread that dies must not look like one that is done
                    troubles.append(StoreError(f"{self.uri}: what is new could not be stored ({exc!r})"))
                    return

        thread = threading.Thread(target=keep, name="upload", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            with suppress(RaytlError):  # what went wrong first is what is told
                put()
            raise
        finally:
            done.set()
            thread.join()
        if troubles:
            raise troubles[0]
        put()

    def push_all(self) -> None:
        """Store what changed in the node's folder, checkpoints first."""
        if self._mirror is not None:
            if self._lease is not None:
                self._lease.check()
            self._mirror.push_all()

    @contextmanager
    def owned(self, on_event: OnEvent = ignore) -> Iterator[None]:
        """Inside, no other raytl writes to this run, here or on another machine; the folder is up to date. A store that can
        only hold that well, not surely, is warned of.

        Raises:
            RunError: another one does.
        """
        root = self.folder.root
        with sole_owner(root):
            if self._mirror is None:
                with failure_recorded(root, self.push):
                    yield
                return
            with self._leased(self._mirror.store, on_event):
                self._mirror.fetch()
                self._mirror.take_over()
                with failure_recorded(root, self.push):
                    yield

    def has_stored(self, path: Path) -> bool:
        """Return whether a file of the node's folder is where the run is kept, too."""
        place = self._mirror or self._reports
        return path.exists() and (place is None or place.store.exists(path.relative_to(self.folder.root).as_posix()))

    @contextmanager
    def looked_at(self, on_event: OnEvent = ignore) -> Iterator[None]:
        """Inside, no other machine looks at the test split of this run or version, or writes to the run; the folder is up to
        date. For a folder on this machine, `exclusive_test_access` is enough.

        Raises:
            RunError: another one does.
        """
        place = self._mirror or self._reports
        if place is None:
            yield
            return
        with self._leased(place.store, on_event):
            self.fetch()
            yield

    @contextmanager
    def _leased(self, store: ObjectStore, on_event: OnEvent) -> Iterator[None]:
        """Inside, this process has the lease of what is below `store`, and writes in its generation."""
        floor = self._mirror.highest_generation if self._mirror else lambda: 0
        with held(store, on_event, floor) as self._lease:
            if self._mirror is not None:
                self._mirror.generation = self._lease.holder.generation
            try:
                yield
            finally:
                self._lease = None


def _guests_place(uri: str, write_token: WriteToken) -> Path:
    digest = hashlib.sha256(f"{uri} {write_token.token}".encode()).hexdigest()[:24]
    return cache_root() / _GUESTS / digest
