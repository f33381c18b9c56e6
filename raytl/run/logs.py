"""What is said during a run, kept in its log: Python's loggers, Ray's own words, and raytl's events."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from raytl.events import Event, OnEvent, Step, Work


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Inside, what Python's loggers say goes to the log at `path`, Ray's own words included, and not to the terminal."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
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
            log.info("%s", event)
        on_event(event)

    return tell
