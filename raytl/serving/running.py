"""A service with an open and warm model that follows its source, from start to end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial

from raytl.events import OnEvent, ignore
from raytl.serving.live import LiveModel, opened
from raytl.serving.observe import Observer
from raytl.serving.options import ServeOptions
from raytl.serving.service import Service
from raytl.serving.source import FolderSource, source_of
from raytl.serving.watch import Watcher


@contextlib.contextmanager
def running(options: ServeOptions, observer: Observer | None = None, on_event: OnEvent = ignore) -> Iterator[Service]:
    """Yield the service of a model that is open and warm, and follow its source meanwhile.

    Raises:
        ModelError: there is no bundle, or it cannot be run here.
        RegistryError, StoreError: it cannot be found or fetched.
    """
    limits = options.limits
    source = source_of(options)
    open_ = partial(opened, threads=options.threads, max_pixels=limits.max_pixels, s3=options.s3)
    version = source.version()
    live = LiveModel(open_(source.folder(version), version))
    if observer is None and options.feedback is not None:
        from raytl.feedback.opening import open_recorder

        observer = open_recorder(options.feedback, options.s3, on_event, server=_server(options))
    service = Service(options, live, source.name, observer)
    watcher = None
    if not isinstance(source, FolderSource):
        watcher = Watcher(live, source, open_, options.poll_s)
        watcher.start()
    try:
        yield service
    finally:
        if watcher is not None:
            watcher.stop()
        service.close()


def _server(options: ServeOptions) -> str:
    """Return a name that no other server on this host has now: its port, and the process, as replicas of Ray share a port."""
    return f"{options.port}" if options.ray is None else f"{options.port}-{os.getpid()}"
