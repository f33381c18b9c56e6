"""A run in a folder or under a prefix in a bucket, with its working copy on this node."""

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
from raytl.run.folder import WARMUP, RunFolder, working_copy
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


_UPLOAD_EVERY_S = 15.0
"""Interval between uploads of changes."""
_PRIVATE = "trials"
"""The folder in the cache for working copies of processes that write with another process's write token."""


class RunStore:
    """The run at `uri`. For a bucket, `folder` is a working copy; for a folder it is the folder itself, and fetching and
    pushing do nothing.

    The subfolder `apart` contains runs with their own stores. A process that writes with the `write_token` of the owner
    has a private working copy, until it calls `leave`.
    """

    def __init__(
        self,
        uri: str,
        *,
        write_token: WriteToken | None = None,
        apart: str | None = None,
        s3: S3Settings = ENVIRONMENT,
    ) -> None:
        self.uri, self._write_token, self._s3 = uri, write_token, s3
        self._private = _private_copy(uri, write_token) if write_token and is_remote(uri) else None
        self.folder = RunFolder(self._private / "run" if self._private else working_copy(uri, s3))
        generation = write_token.generation if write_token else 0
        self._mirror = None
        if is_remote(uri):
            store = open_store(uri, s3)
            is_warmup = write_token is not None and store.uri == f"{write_token.uri}/{WARMUP}"
            least = generation if is_warmup else 0  # its owner marked all checkpoints of the warm-up as it took over
            self._mirror = Mirror(store, self.folder.root, apart, generation, least)
        self._reports: Reports | None = None
        self._lease: Lease | None = None

    @classmethod
    def of(cls, experiment: Experiment) -> RunStore:
        """Return the store of the run of `experiment`: `<storage.uri>/<name>`."""
        return cls(run_uri(experiment), s3=S3Settings.of(experiment.storage))

    @classmethod
    def open(cls, uri: str, s3: S3Settings = ENVIRONMENT) -> RunStore:
        """Fetch the run at `uri`, or the model version that a `models:...` reference names.

        Raises:
            RunError: there is no run; the error lists what is there instead.
        """
        if is_reference(uri):
            return cls._published(uri, s3)
        run_store = cls(uri, s3=s3)
        run_store.fetch()
        if run_store._mirror is not None and not run_store.folder.experiment.exists():
            raise RunError(f"{uri}: not a run, experiment.yaml is missing; `raytl train` creates one")
        RunFolder.open(run_store.folder.root)
        return run_store

    @property
    def name(self) -> str:
        """Return the name of the run for people; of a version that of its registry and its number, such as `trash@3`."""
        if self._reports is None:
            return self.folder.root.name
        return f"{self._reports.registry.uri.rpartition('/')[2]}@{self._reports.number}"

    @property
    def write_token(self) -> WriteToken | None:
        """Return the write token for processes that write on behalf of the owner; None for a folder."""
        if self._mirror is None or self._lease is None:
            return None
        return WriteToken(self._mirror.store.uri, self._lease.holder.token, self._lease.holder.generation)

    @classmethod
    def _published(cls, uri: str, s3: S3Settings) -> RunStore:
        """Return a model version as the run that produced it; reports are stored beside it in its registry."""
        registry, record, folder = fetched(uri, s3=s3)
        run_store = cls(str(folder))
        run_store.uri = uri  # the reference also works on other nodes
        run_store._reports = Reports(registry, record, folder, s3)
        run_store.fetch()
        return run_store

    def fetch(self) -> None:
        """Update the working copy from the store."""
        self.use_fetched()
        if self._mirror is not None:
            self._mirror.fetch()
        if self._reports is not None:
            self._reports.fetch()

    def use_fetched(self) -> None:
        """Protect the working copy while this process uses it as another one of this node has fetched it."""
        if self._private is not None:
            pin(self._private)
            sweep_out(_PRIVATE)

    def leave(self) -> None:
        """Release the private working copy; changes that were not pushed are lost."""
        if self._private is not None:
            unpin(self._private)

    def push(self) -> None:
        """Upload what changed in the working copy, except checkpoints."""
        if self._lease is not None:
            self._lease.check()
        if self._mirror is not None:
            self._mirror.push()
        if self._reports is not None:
            self._reports.push()

    def uploader(self, emit: OnEvent = ignore, lease: WriteToken | None = None) -> Uploader | None:
        """Return an uploader of checkpoints, by default with the current lease of the run; None for a folder."""
        return Uploader(self._mirror, emit, self._write_token or lease, self._s3) if self._mirror is not None else None

    def set_aside(self, on_event: OnEvent) -> None:
        """Rename the existing run, if there is one, and report the new name.

        Raises:
            RunError: another raytl process writes to it.
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
        on_event(Message(f"renamed the run in {self.uri} to {aside.uri}"))

    @contextmanager
    def background_uploads(self, on_event: OnEvent = ignore, store: Callable[[], None] | None = None) -> Iterator[None]:
        """Upload changes, including checkpoints, periodically in the context and once at its end, by `push_all` or `store`.

        Raises:
            StoreError: the upload failed; the changes are still in the working copy.
        """
        if self._mirror is None:
            yield
            return
        stopped, errors = threading.Event(), list[RaytlError]()
        upload = store or self.push_all

        def run() -> None:
            while not stopped.wait(_UPLOAD_EVERY_S):
                try:
                    upload()
                except Unavailable as exc:
                    on_event(Message(f"upload deferred; will retry: {exc}", "warning"))
                except RaytlError as exc:
                    on_event(Message(str(exc), "error"))
                    errors.append(exc)
                    return
                except Exception as exc:  # a thread that fails must not look finished
                    errors.append(StoreError(f"{self.uri}: the upload failed ({exc!r})"))
                    return

        thread = threading.Thread(target=run, name="upload", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            with suppress(RaytlError):  # report the first error
                upload()
            raise
        finally:
            stopped.set()
            thread.join()
        if errors:
            raise errors[0]
        upload()

    def push_all(self) -> None:
        """Upload what changed in the working copy, including checkpoints."""
        if self._mirror is not None:
            if self._lease is not None:
                self._lease.check()
            self._mirror.push_all()

    @contextmanager
    def owned(self, on_event: OnEvent = ignore) -> Iterator[None]:
        """Hold the run exclusively, on this and all other machines, and update the working copy. Warn if the store cannot
        guarantee exclusive access.

        Raises:
            RunError: another process holds it.
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
        """Return True if a file of the working copy is also in the store."""
        name = path.relative_to(self.folder.root).as_posix()
        if self._reports is not None:
            return path.exists() and self._reports.has(name)
        return path.exists() and (self._mirror is None or self._mirror.store.exists(name))

    @contextmanager
    def locked_test_split(self, on_event: OnEvent = ignore) -> Iterator[None]:
        """Lock the test split against evaluation on other machines, and the run against writers; update the working copy. A
        folder on this machine only needs `exclusive_test_access`.

        Raises:
            RunError: another process holds it.
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
        """Hold the lease of `store`, and write in its generation."""
        floor = self._mirror.highest_generation if self._mirror else lambda: 0
        with held(store, on_event, floor) as self._lease:
            if self._mirror is not None:
                self._mirror.generation = self._lease.holder.generation
            try:
                yield
            finally:
                self._lease = None


def _private_copy(uri: str, write_token: WriteToken) -> Path:
    digest = hashlib.sha256(f"{uri} {write_token.token}".encode()).hexdigest()[:24]
    return cache_root() / _PRIVATE / digest
