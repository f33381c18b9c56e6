"""A command run to its end, with the peak of its memory over the whole tree of its processes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

EVERY_S = 0.5


@dataclass(frozen=True)
class Ran:
    """How a command ended. `peak_bytes` is the largest sum of resident memory over its processes at one moment (what
    they share counts once for each), `largest_bytes` the peak of the largest single one."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    peak_bytes: int
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
    peak = [0, 0]
    watch = threading.Thread(target=_watch, args=(process.pid, ended, peak), daemon=True)
    watch.start()
    stdout, stderr = process.communicate()
    seconds = time.monotonic() - started
    ended.set()
    watch.join()
    return Ran(process.returncode, stdout, stderr, seconds, peak[0], peak[1])


def _watch(pid: int, ended: threading.Event, peak: list[int]) -> None:
    while not ended.wait(EVERY_S):
        sizes = resident(pid)
        peak[0], peak[1] = max(peak[0], sum(sizes)), max(peak[1], max(sizes, default=0))


def resident(pid: int) -> list[int]:
    """Resident bytes of process `pid` and of all below it; of those that are gone, nothing."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    sizes = []
    for process in tree:
        try:
            sizes.append(process.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
    return sizes
