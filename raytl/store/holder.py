"""The holder of a lease: its stored form, read strictly, and whether its process still runs on this machine."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from raytl.errors import RunError
from raytl.stored import Fault, Format
from raytl.stored.bounds import Bound, Count, at_most, within
from raytl.stored.document import parse

MAX_BYTES = 1 << 14
"""Size limit of a lease object; those that raytl writes have about 400 bytes."""
Text = Annotated[str, at_most(512), Bound("printable text", str.isprintable)]


@dataclass(frozen=True)
class Process:
    """A process as others identify it: `boot` is the boot ID of its machine, `started` its start in clock ticks since boot;
    empty and 0 if the system does not report them."""

    host: str
    pid: int
    boot: str
    started: int


@dataclass(frozen=True)
class Holder:
    """The holder of a lease. Each renewal raises `heartbeat`; `renewed` (ISO 8601, UTC, by the holder's clock) is for
    messages only: no decision uses it."""

    generation: Count
    token: Text
    host: Text
    pid: Annotated[int, within(1, 2**31 - 1)]
    boot: Text
    started: Count
    heartbeat: Count
    renewed: Text
    given_back: bool = False

    @property
    def process(self) -> Process:
        """The process that holds the lease."""
        return Process(self.host, self.pid, self.boot, self.started)

    def __str__(self) -> str:
        return f"another raytl (pid {self.pid} on {self.host})"

    @property
    def last_renewal(self) -> str:
        """Return the time of the last renewal by the holder's clock, for messages."""
        try:
            when = datetime.fromisoformat(self.renewed).astimezone(UTC)
        except (ValueError, OverflowError):
            return "at an unknown time"
        return f"on {when:%Y-%m-%d} at {when:%H:%M:%S} UTC"

    def encoded(self) -> bytes:
        """Return the stored form."""
        return json.dumps(asdict(self), indent=2).encode()


HOLDER_FORMAT = Format[Holder](Holder, "a lease", "Delete it when no raytl process writes there.", max_bytes=MAX_BYTES)


def decoded(content: bytes) -> Holder | None:
    """Return the holder that `content` names, also in the form of raytl 0.1.0; None if it is not a lease."""
    try:
        values = parse(content) if len(content) <= MAX_BYTES else None
        if (
            isinstance(values, dict) and "until" in values
        ):  # 0.1.0: the end of the term by the holder's wall clock, or 0
            values = {**values, "started": 0, "heartbeat": 0, "renewed": "", "given_back": values["until"] == 0}
        return HOLDER_FORMAT.typed(values, "the lease")
    except (Fault, RunError):
        return None


def this_process() -> Process:
    """Return this process as others identify it."""
    return Process(socket.gethostname(), os.getpid(), _boot(), _status(os.getpid())[1])


def is_alive(process: Process) -> bool | None:
    """Return whether `process` still runs; None if it belongs to another machine, or the system does not report it."""
    boot = _boot()
    if not boot or process.boot != boot:
        return None
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it belongs to another user
    state, started = _status(process.pid)
    is_another = 0 not in (started, process.started) and started != process.started  # the pid was reused
    return state not in ("Z", "X") and not is_another


def _boot() -> str:
    """Return the boot ID of this machine and the PID namespace of its container; empty if the system has none."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _status(pid: int) -> tuple[str, int]:
    """Return the state of a process and its start in clock ticks after the boot, see proc_pid_stat(5); empty and 0 if the
    system does not report them."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return "", 0
