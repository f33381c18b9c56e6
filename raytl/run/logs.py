"""The log of a run: Python loggers, Ray's output, and raytl's events.

Lines are text or, with RAYTL_LOG=json, one JSON object per line, with the run and, if known, the trial and the rank.
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
_FROM_MAIN_RANK = (StageOpened, EpochEnded, Resumed)
"""Events from the worker of rank 0."""


@contextlib.contextmanager
def log_to(path: Path, run: str) -> Iterator[None]:
    """Redirect Python loggers, including Ray's, to the log of `run` at `path` instead of the terminal.

    Raises:
        ConfigError: RAYTL_LOG is neither text nor json.
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
    """Return `on_event` that also logs every event except progress."""
    log = logging.getLogger("raytl")

    def log_event(event: Event) -> None:
        if not isinstance(event, Step | Work):
            log.info("%s", event, extra={"event": event})
        on_event(event)

    return log_event


def _formatter(run: str) -> logging.Formatter:
    kind = os.environ.get(VARIABLE, "text")
    if kind not in ("text", "json"):
        raise ConfigError(f"{VARIABLE}: found {kind!r}, expected text or json")
    return _JsonFormatter(run) if kind == "json" else _TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class _LogFile(logging.FileHandler):
    """A log file that drops lines while writes fail, and warns once; other writes report their own errors."""

    _has_warned = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if error is None or not self._warn(error):
            super().handleError(record)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:  # buffered lines
            if not self._warn(error):
                raise

    def _warn(self, error: BaseException) -> bool:
        """Return True for a disk error, and warn the first time."""
        refused = disk_error(error, self.baseFilename)
        if refused and not self._has_warned:
            self._has_warned = True
            sys.stderr.write(printable(f"warning: {refused} Until then, log lines are lost.\n"))
        return refused is not None


class _TextFormatter(logging.Formatter):
    """Format lines as text, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(redacted(super().format(record)))


class _JsonFormatter(logging.Formatter):
    """Format lines as JSON objects."""

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
            "rank": 0 if isinstance(event, _FROM_MAIN_RANK) else None,
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
