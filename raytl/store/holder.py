"""Who holds a lease: what its object says, read strictly, and whether that process still runs on this machine."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 14
"""The size of the largest object that is read as a lease; those that raytl writes have some 400 bytes."""
_MOST = 2**53
_LONGEST = 512
_MOST_PID = 2**31 - 1


@dataclass(frozen=True)
class Process:
    """A process as others may find it: `boot` names its machine since that was started, `started` is in clock ticks since
    then; empty and 0 where the system does not tell."""

    host: str
    pid: int
    boot: str
    started: int


@dataclass(frozen=True)
class Holder:
    """The holder of a lease. Each renewal raises `heartbeat`; `renewed` (ISO 8601, UTC, by the holder's clock) is for
    messages only: no time in here decides anything."""

    generation: int
    token: str
    host: str
    pid: int
    boot: str
    started: int
    heartbeat: int
    renewed: str
    given_back: bool = False

    @property
    def process(self) -> Process:
        """The process that holds it."""
        return Process(self.host, self.pid, self.boot, self.started)

    def __str__(self) -> str:
        return f"another raytl (pid {self.pid} on {self.host})"

    @property
    def last_renewal(self) -> str:
        """When it was last renewed, by the holder's clock, to be read by people."""
        try:
            when = datetime.fromisoformat(self.renewed).astimezone(UTC)
        except (ValueError, OverflowError):
            return "at an unknown time"
        return f"on {when:%Y-%m-%d} at {when:%H:%M:%S} UTC"

    def encoded(self) -> bytes:
        """Return the bytes that are stored."""
        return json.dumps(asdict(self), indent=2).encode()


def decoded(content: bytes) -> Holder | None:
    """Return the holder that `content` names, also as raytl 0.1.0 wrote it; None if it is not a lease."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if len(content) > MOST_BYTES or not isinstance(values, dict):
        return None
    if "until" in values:  # 0.1.0: the end of the term by the holder's wall clock, 0 once it was given back
        values = {**values, "started": 0, "heartbeat": 0, "renewed": "", "given_back": values["until"] == 0}
    if not (_has_numbers(values) and _has_texts(values) and type(values.get("given_back")) is bool):
        return None
    return Holder(**{name: values[name] for name in Holder.__dataclass_fields__})


def this_process() -> Process:
    """Return this process as others may find it."""
    return Process(socket.gethostname(), os.getpid(), _boot(), _status(os.getpid())[1])


def is_alive(process: Process) -> bool | None:
    """Return whether `process` still runs; None if it belongs to another machine, or this one does not tell."""
    boot = _boot()
    if not boot or process.boot != boot:
        return None
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    state, started = _status(process.pid)
    is_another = 0 not in (started, process.started) and started != process.started  # the pid was given out again
    return state not in ("Z", "X") and not is_another


def _has_numbers(values: dict[str, Any]) -> bool:
    bounds = {"generation": (0, _MOST), "pid": (1, _MOST_PID), "started": (0, _MOST), "heartbeat": (0, _MOST)}
    return all(type(values.get(name)) is int and low <= values[name] <= high for name, (low, high) in bounds.items())


def _has_texts(values: dict[str, Any]) -> bool:
    texts = [values.get(name) for name in ("token", "host", "boot", "renewed")]
    return all(isinstance(text, str) and len(text) <= _LONGEST and text.isprintable() for text in texts)


def _boot() -> str:
    """Return a name of this machine since it was started, and of the container, as pids are its own; empty if the system
    has none."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _status(pid: int) -> tuple[str, int]:
    """Return the state of a process and its start in clock ticks after the boot, see proc_pid_stat(5); empty and 0 if the
    system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return "", 0
