"""Follow an alias: when it names another version, fetch, check, open and warm that, then swap; else keep the old one."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from raytl.errors import first_line
from raytl.serving.live import LiveModel, ServedModel
from raytl.serving.source import Source
from raytl.store.pins import release

_JITTER = 0.1
Open = Callable[[Path, str], ServedModel]
"""Opens the bundle in a folder as a version."""


def follow_once(live: LiveModel, source: Source, open_: Open) -> bool:
    """Look once whether another version is to be served, and serve it; return whether the model was replaced. The bundle of the
    one before leaves the cache, which would grow with each version.

    Whatever fails, the old one stays, with the reason in `live.trouble`.
    """
    try:
        version = source.version()
        if version == live.current.version:
            live.trouble = ""
            return False
        before = live.current.bundle.model.folder
        live.swap(open_(source.folder(version), version))
    except Exception as error:  # also errors of runtimes and of a full disk
        reason = first_line(error)[:500]
        if reason != live.trouble:
            logging.getLogger("raytl").warning("keeping version %s: %s", live.current.version, reason)
        live.fail(reason)
        return False
    logging.getLogger("raytl").info("serving version %s", version)
    if before != live.current.bundle.model.folder:
        with suppress(OSError):  # the cache was removed by hand
            release(before)
    return True


class Watcher:
    """A thread that follows the source of a model every `poll_s` seconds, with some jitter."""

    def __init__(self, live: LiveModel, source: Source, open_: Open, poll_s: float) -> None:
        self._live, self._source, self._open, self._poll_s = live, source, open_, poll_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Start to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop soon; a version that is being fetched is not waited for."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s * random.uniform(1 - _JITTER, 1 + _JITTER)):  # noqa: S311
            follow_once(self._live, self._source, self._open)
