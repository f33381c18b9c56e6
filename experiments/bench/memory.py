"""A command run to its end, with the peak of its memory over the whole tree of its processes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

EVERY_S = 0.5
PROPORTIONAL_EVERY = 8
"""Every which look also asks for proportional memory: the kernel walks all pages for it, which costs time."""


@dataclass(frozen=True)
class Ran:
    """How a command ended, and peaks of its memory: `resident_bytes` the sum of resident memory over its processes
    (what they share counts for each of them), `proportional_bytes` the same with what is shared counted once (PSS),
    `largest_bytes` the resident memory of the largest process."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    resident_bytes: int
    proportional_bytes: int
    largest_bytes: int


def run(command: list[str], environment: Mapping[str, str]) -> Ran:
    """Runs `command`, watching the memory of its processes twice a second."""
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
    """Resident bytes of process `pid` and of all below it."""
    return [_read(process, "memory_info").get("rss", 0) for process in tree(pid)]


def proportional(pid: int) -> int:
    """Bytes of process `pid` and of all below it, pages shared between them counted once (Linux's PSS)."""
    return sum(_read(process, "memory_full_info").get("pss", 0) for process in tree(pid))


def tree(pid: int) -> list[psutil.Process]:
    """Process `pid` and all below it; none where it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _read(process: psutil.Process, method: str) -> dict[str, int]:
    """The answer's fields; none from a process that is gone."""
    try:
        return dict(getattr(process, method)()._asdict())
    except psutil.Error:
        return {}
