"""Download many objects at once in separate processes: a boto3 thread spends 2 ms of Python per object, a worker 0.08 ms.

boto3 lists the bucket, which gives its address (`Route`) and the credentials. Requests are signed here and sent to
`fetch_worker` processes. Objects that fail at the first attempt are left to boto3 and its retries.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

from raytl.cpus import usable_cpus
from raytl.store import checksums, fetch_worker
from raytl.store.contract import ObjectInfo

CONNECTIONS = 128
"""Limit for all workers together: at a round trip of 30 ms, about 4,000 objects per second."""
KEY_CHARACTERS = "/-_.~"
"""The characters of a key that are not escaped in a URL, besides letters and digits."""
_MAX_WORKERS = 4
_MIN_OBJECTS = 8
_MAX_FAILED = 64
_AWSCRT_BYTES = 64 << 20
"""The import of awscrt takes as long as the MD5 of this many bytes."""
_START = "import sys; sys.path.append(sys.argv[1]); from raytl.store.fetch_worker import main; main()"
_CODE = str(Path(fetch_worker.__file__).parents[2])
_EMPTY = hashlib.sha256(b"").hexdigest()


class Credentials(Protocol):
    """The credentials that sign requests: botocore's frozen ones."""

    access_key: str
    secret_key: str
    token: str | None


@dataclass(frozen=True, slots=True)
class Route:
    """The address of a bucket's objects: `host` (with its port, as in the header) and the path `base` before keys.

    Requests are signed for `region`; unsigned if that is None. `has_checksums` is False where the store rejects requests for
    checksums, or sends wrong ones."""

    scheme: str
    host: str
    base: str
    region: str | None
    requester_pays: bool = False
    cafile: str = ""
    has_checksums: bool = True

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        name, _, port = self.host.rpartition(":") if not self.host.endswith("]") else (self.host, "", "")
        plain = not port.isdigit()
        number = (443 if self.scheme == "https" else 80) if plain else int(port)
        return (self.host if plain else name).strip("[]"), number


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object as listed, its key in the bucket, and the file to write."""

    info: ObjectInfo
    key: str
    path: str


def request(route: Route, credentials: Credentials | None, key: str, now: float) -> bytes:
    """Return the bytes of a GET request for `key`, signed at `now` (Unix time in seconds)."""
    path, headers = signed(route, credentials, key, now)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


def signed(
    route: Route, credentials: Credentials | None, key: str, now: float, query: str = ""
) -> tuple[str, dict[str, str]]:
    """Return the path and the headers of a GET request for `key`, signed with AWS Signature Version 4 at `now`.

    With a `query`, sorted and escaped, the request is one of the bucket itself.
    """
    path = (route.base.rstrip("/") or "/") if query else route.base + quote(key, safe=KEY_CHARACTERS)
    headers = {"host": route.host}
    if route.has_checksums and not query:
        headers[checksums.MODE[0]] = checksums.MODE[1]
    if route.requester_pays:
        headers["x-amz-request-payer"] = "requester"
    if credentials is not None and route.region is not None:
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        headers |= {"x-amz-content-sha256": _EMPTY, "x-amz-date": moment}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        ordered = dict(sorted(headers.items()))
        headers["authorization"] = _signature(f"{path}\n{query}", ordered, credentials, route.region)
    return f"{path}?{query}" if query else path, {**headers, "accept-encoding": "identity"}


def _signature(target: str, headers: dict[str, str], credentials: Credentials, region: str) -> str:
    moment, names = headers["x-amz-date"], ";".join(headers)
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = hashlib.sha256(f"GET\n{target}\n{lines}\n{names}\n{_EMPTY}".encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{canonical}"):
        key = hmac.digest(key, part.encode(), "sha256")
    return f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"


def usable(route: Route, count: int) -> bool:
    """Return whether `count` objects justify worker processes, and no HTTP proxy is configured."""
    return count >= _MIN_OBJECTS and is_direct(route)


def is_direct(route: Route) -> bool:
    """Return whether no HTTP proxy is configured for this address."""
    return route.scheme not in getproxies() or bool(proxy_bypass(route.address[0]))


def download(
    route: Route, credentials: Callable[[], Credentials | None], wanted: Sequence[Wanted], idle_timeout_s: float
) -> Generator[ObjectInfo, None, None]:
    """Yield the objects of `wanted` that were downloaded whole at the first attempt, as they arrive; parent folders must exist.

    Stop early if most fail.
    """
    count = max(1, min(_MAX_WORKERS, usable_cpus(), len(wanted) // 2))
    cafile = (route.cafile or ssl.get_default_verify_paths().cafile or "") if route.scheme == "https" else None
    awscrt = (
        _awscrt_folder() if sum(one.info.size for one in wanted) >= _AWSCRT_BYTES else ""
    )  # unknown ones need SHA-256
    settings = (awscrt, *route.address, cafile, CONNECTIONS // count, idle_timeout_s)
    work = _Work(route, credentials, wanted)
    processes = _start_workers(count)
    threads = [threading.Thread(target=work.drive, args=(one, settings, count), daemon=True) for one in processes]
    for thread in threads:
        thread.start()
    try:
        yield from work.results(len(processes))
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            _stop(process)
        for thread in threads:
            thread.join()
        for process in processes:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


def _awscrt_folder() -> str:
    """Return the folder that awscrt is installed in; empty if it is not."""
    spec = find_spec("awscrt")
    return str(Path(spec.origin).parents[1]) if spec is not None and spec.origin else ""


def _start_workers(count: int) -> list[subprocess.Popen[bytes]]:
    """Start up to `count` workers; fewer if the system cannot start more."""
    command = [sys.executable, "-I", "-S", "-c", _START, _CODE]
    processes = []
    for _ in range(count):
        with suppress(OSError):
            processes.append(
                subprocess.Popen(
                    command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            )
    return processes


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Wait until the worker has removed its partial files; kill it after 5 s."""
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Work:
    """The queue of jobs, and the results of the workers."""

    def __init__(self, route: Route, credentials: Callable[[], Credentials | None], wanted: Sequence[Wanted]) -> None:
        self._route, self._credentials, self._wanted = route, credentials, wanted
        self._left = iter(range(len(wanted)))
        self._dispatching = threading.Lock()
        self._results: SimpleQueue[list[fetch_worker.Done] | None] = SimpleQueue()

    def drive(self, process: subprocess.Popen[bytes], settings: tuple[Any, ...], fetch_workers: int) -> None:
        """Keep one worker busy until no job is left, or it exits."""
        assert process.stdin is not None and process.stdout is not None
        jobs_pipe, results_pipe = process.stdin.fileno(), process.stdout.fileno()
        try:
            fetch_worker.send(jobs_pipe, settings)
            pending = self._dispatch(
                jobs_pipe, min(2 * CONNECTIONS // fetch_workers, -(-len(self._wanted) // fetch_workers))
            )
            while pending and (batch := fetch_worker.receive(results_pipe)) is not None:
                self._results.put(batch)
                pending += self._dispatch(jobs_pipe, len(batch)) - len(batch)
        except OSError:  # the worker exited
            return
        finally:
            self._results.put(None)

    def results(self, fetch_workers: int) -> Iterator[ObjectInfo]:
        """Yield the objects that succeeded, until all workers are done or too many jobs failed."""
        succeeded = failed = 0
        while fetch_workers and not (failed >= _MAX_FAILED and failed > succeeded):
            batch = self._results.get()
            if batch is None:
                fetch_workers -= 1
                continue
            for number, size, etag in batch:
                whole = size >= 0
                succeeded, failed = succeeded + whole, failed + (not whole)
                if whole:
                    info = self._wanted[number].info
                    yield info if info.size >= 0 else ObjectInfo(info.key, size, etag)

    def _dispatch(self, jobs_pipe: int, count: int) -> int:
        """Send a worker up to `count` jobs, signed now; return their number."""
        with self._dispatching:
            numbers = list(islice(self._left, count))
        if numbers:
            credentials, now = self._credentials(), time.time()
            fetch_worker.send(jobs_pipe, [self._job(number, credentials, now) for number in numbers])
        return len(numbers)

    def _job(self, number: int, credentials: Credentials | None, now: float) -> fetch_worker.Job:
        one = self._wanted[number]
        signed = request(self._route, credentials, one.key, now)
        return number, signed, one.path, one.info.size, one.info.etag, one.info.sha256
