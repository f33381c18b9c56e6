"""What is said during a run, kept in its log: Python's loggers, Ray's own words, and raytl's events.

Lines are for people, or with RAYTL_LOG=json for programs: one JSON object a line, with the run, and the trial and the rank
that a line is of where it is of one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raytl.disk import disk_error, writing
from raytl.errors import ConfigError
from raytl.events import EpochEnded, Event, OnEvent, Resumed, StageOpened, Step, TrialChanged, Work
from raytl.run.plain import encode, for_people
from raytl.sanitize import printable, redacted

VARIABLE = "RAYTL_LOG"
_OF_THE_FIRST = (StageOpened, EpochEnded, Resumed)
"""Events that the worker of rank 0 tells."""


@contextlib.contextmanager
def log_to(path: Path, run: str) -> Iterator[None]:
    """Inside, what Python's loggers say goes to the log of `run` at `path`, Ray's own words included, and not to the
    terminal.

    Raises:
        ConfigError: RAYTL_LOG asks for lines of another kind than there are.
    """
    formatter = _formatter(run)
    with writing(path):
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(formatter)
    loggers = [logging.getLogger(name) for name in ("raytl", "ray", "ray.train")]
    before = [(logger.propagate, logger.level, logger.handlers[:]) for logger in loggers]
    for logger in loggers:
        logger.handlers[:], logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, (propagate, level, handlers) in zip(loggers, before, strict=True):
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()


def logged(on_event: OnEvent) -> OnEvent:
    """`on_event`, with all but the progress of steps written into the run's log too."""
    log = logging.getLogger("raytl")

    def tell(event: Event) -> None:
        if not isinstance(event, Step | Work):
            log.info("%s", event, extra={"event": event})
        on_event(event)

    return tell


def _formatter(run: str) -> logging.Formatter:
    asked = os.environ.get(VARIABLE, "text")
    if asked not in ("text", "json"):
        raise ConfigError(f"{VARIABLE}: found {asked!r}, expected text or json")
    return _Objects(run) if asked == "json" else _Lines("%(asctime)s %(levelname)s %(name)s: %(message)s")


class _LogFile(logging.FileHandler):
    """A log that lacks lines while its disk refuses them, and says so once; what cannot do without ends the run."""

    _has_told = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if error is None or not self._tell(error):
            super().handleError(record)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:  # lines that were still to be written
            if not self._tell(error):
                raise

    def _tell(self, error: BaseException) -> bool:
        """Return whether a disk refused; the first time, say so."""
        refused = disk_error(error, self.baseFilename)
        if refused and not self._has_told:
            self._has_told = True
            sys.stderr.write(printable(f"warning: {refused} Until then the log lacks lines.\n"))
        return refused is not None


class _Lines(logging.Formatter):
    """For people; names in them steer no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(redacted(super().format(record)))


class _Objects(logging.Formatter):
    """For programs."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def format(self, record: logging.LogRecord) -> str:
        event: Event | None = getattr(record, "event", None)
        value: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "run": self._run,
            "trial": event.number if isinstance(event, TrialChanged) else None,
            "rank": 0 if isinstance(event, _OF_THE_FIRST) else None,
            "message": record.getMessage(),
        }
        if event is not None:
            value |= {
                "event": type(event).__name__,
                **({"message": text} if (text := getattr(event, "text", "")) else {}),
            }
            value["fields"] = asdict(event)
        if record.exc_info:
            value["traceback"] = self.formatException(record.exc_info)
        return encode(for_people(value)).decode()
