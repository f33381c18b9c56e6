"""Record the error that ended a run or a sweep in its folder, until the next attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from raytl.errors import RaytlError, Unavailable, first_line
from raytl.run.atomic import write_json
from raytl.stored import Format
from raytl.stored.bounds import Name

FAILURE = "failure.json"
_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """The class and the first line of an error, and the time (ISO 8601, UTC) it was raised."""

    when: Name
    error: Name
    text: Name


FAILURE_FORMAT = Format[Failure](Failure, "the error that ended a run", "Delete the file.", max_bytes=1 << 16)


@contextmanager
def failure_recorded(folder: Path, publish: Callable[[], None]) -> Iterator[None]:
    """Record an error raised in the block in `folder`, and `publish` the record; ignore interruptions."""
    path = folder / FAILURE
    path.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        with suppress(OSError, RaytlError):
            write_json(path, asdict(_failure(error)))
            if not isinstance(error, Unavailable):
                publish()
        raise


def _failure(error: Exception) -> Failure:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Failure(when, type(error).__name__, first_line(error)[:_LENGTH])
