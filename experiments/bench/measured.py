"""Measure one process: wall and CPU seconds, and its peak resident memory, as the kernel counts them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EVERY_S = 0.05
"""Interval of reading the peak: growth in the last moments is missed."""


@dataclass(frozen=True)
class Measured:
    """`peak_bytes` is the largest resident memory of the process itself."""

    seconds: float
    cpu_s: float
    peak_bytes: int


def measured(command: Sequence[str]) -> Measured:
    """Run `command` to its end, with its output on standard error.

    Raises:
        SystemExit: the command failed.
    """
    started, peak = time.monotonic(), 0
    process = subprocess.Popen(command, stdout=2)
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        peak = max(peak, _peak(process.pid))
        time.sleep(EVERY_S)
    _, status, used = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Measured(time.monotonic() - started, used.ru_utime + used.ru_stime, peak)


def _peak(pid: int) -> int:
    """Return the peak resident memory of a process; `ru_maxrss` would include its parent's at the fork."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
