"""Run a command to its end, and record the peak memory of its whole process tree."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

EVERY_S = 0.5
PROPORTIONAL_EVERY = 8
"""Number of samples per sample of proportional memory, for which the kernel walks all pages."""


@dataclass(frozen=True)
class Ran:
    """The result of a command, and peaks of its memory: `resident_bytes` is the sum over its processes (shared pages count
    for each of them), `proportional_bytes` the same with shared pages counted once (PSS), and `largest_bytes` that of the
    largest process."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    resident_bytes: int
    proportional_bytes: int
    largest_bytes: int


def run(command: list[str], environment: Mapping[str, str]) -> Ran:
    """Run `command`, sampling the memory of its processes twice a second."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    ended = threading.Event()
    peak = [0, 0, 0]
    watch = threading.Thread(target=_watch, args=(process.pid, ended, peak), daemon=True)
    watch.start()
    stdout, stderr = process.communicate()
    seconds = time.monotonic() - started
    ended.set()
    watch.join()
    return Ran(process.returncode, stdout, stderr, seconds, *peak)


def _watch(pid: int, ended: threading.Event, peak: list[int]) -> None:
    tick = 0
    while not ended.wait(EVERY_S):
        tick += 1
        sizes = resident(pid)
        now = (sum(sizes), 0 if tick % PROPORTIONAL_EVERY else proportional(pid), max(sizes, default=0))
        peak[:] = map(max, peak, now)


def resident(pid: int) -> list[int]:
    """Return the resident bytes of process `pid` and each of its descendants."""
    return [_read(process, "memory_info").get("rss", 0) for process in tree(pid)]


def proportional(pid: int) -> int:
    """Return the bytes of process `pid` and its descendants, with shared pages counted once (Linux's PSS)."""
    return sum(_read(process, "memory_full_info").get("pss", 0) for process in tree(pid))


def tree(pid: int) -> list[psutil.Process]:
    """Return process `pid` and its descendants; none if it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _read(process: psutil.Process, method: str) -> dict[str, int]:
    """Return the fields that `method` reads; none if the process has ended."""
    try:
        return dict(getattr(process, method)()._asdict())
    except psutil.Error:
        return {}
