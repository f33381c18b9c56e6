"""What HTTP costs: requests to `raytl serve` against the same photo answered in this process, in turn.

    python -m experiments.bench.serve BUNDLE PHOTO [--requests 300] [--ray] [--threads 1]

One keep-alive connection to 127.0.0.1, small blocks in turn, medians and 99th percentiles in ms; the time from the start of the
command to the first answer of /readyz, and the resident memory of the process, of the plain server alone. The first start writes
bytecode into a folder of its own, as an installation has it; the second one is timed too, and measured.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raytl.serving.live import opened
from raytl.serving.options import MAX_PIXELS
from raytl.store.s3_settings import ENVIRONMENT

_BLOCK = 10
_START_S = 180.0


@dataclass(frozen=True)
class Started:
    """A running server: its connection, the seconds until it was ready, and its memory in MB."""

    connection: http.client.HTTPConnection
    ready_s: float
    memory_mb: float


@contextmanager
def server(bundle: str, port: int, threads: int, on_ray: bool, bytecode: str) -> Iterator[Started]:
    """Start `raytl serve` as a process and stop it in order."""
    words = ["serve", bundle, "--port", str(port), "--threads", str(threads), "--workers", "1"]
    environment = os.environ | {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "raytl", *words, *(["--ray"] if on_ray else [])], env=environment)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        while not is_ready(connection):
            if process.poll() is not None or time.perf_counter() - began > _START_S:
                raise SystemExit("the server does not start")
        ready_s = time.perf_counter() - began
        yield Started(connection, ready_s, memory_mb(process.pid))
    finally:
        connection.close()
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def is_ready(connection: http.client.HTTPConnection) -> bool:
    """Return whether /readyz answers; waits a little if not."""
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().read().startswith(b'{"ready"')
    except (OSError, http.client.HTTPException):
        connection.close()
        time.sleep(0.05)
        return False


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def ask(connection: http.client.HTTPConnection, photo: bytes) -> None:
    """Send a photo and read the answer."""
    connection.request("POST", "/predict", photo, {"content-type": "image/jpeg"})
    response = connection.getresponse()
    response.read()
    assert response.status == 200, response.status


def timed(work: Callable[[], object], count: int) -> list[float]:
    """Return the milliseconds of each of `count` runs."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - began))
    return times


def measured(
    args: argparse.Namespace,
    bytecode: str,
    photo: bytes,
    answer: Callable[[], object],
    here: list[float],
    there: list[float],
) -> Started:
    """Start the server twice, and time requests to the second one and answers in this process, in turn."""
    with server(args.bundle, args.port, args.threads, args.ray, bytecode) as first:
        print(f"first start: ready in {first.ready_s:.1f} s, of which some compiles Python files", flush=True)
    with server(args.bundle, args.port, args.threads, args.ray, bytecode) as started:
        timed(lambda: ask(started.connection, photo), _BLOCK)
        for _ in range(args.requests // _BLOCK):
            here += timed(answer, _BLOCK)
            there += timed(lambda: ask(started.connection, photo), _BLOCK)
    return started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--ray", action="store_true")
    args = parser.parse_args()
    model = opened(Path(args.bundle), "here", args.threads, MAX_PIXELS, ENVIRONMENT)
    photo = args.photo.read_bytes()
    here: list[float] = []
    there: list[float] = []
    with tempfile.TemporaryDirectory() as bytecode:
        started = measured(args, bytecode, photo, lambda: model.answered(model.pixels(photo)), here, there)
    print(f"ready in {started.ready_s:.1f} s, {started.memory_mb:.0f} MB")
    for name, times in (("in this process", here), ("over HTTP", there)):
        print(f"{name:16} p50 {np.median(times):6.2f} ms   p99 {np.percentile(times, 99):6.2f} ms")
    print(f"HTTP adds {np.median(there) - np.median(here):.2f} ms at p50")


if __name__ == "__main__":
    main()
