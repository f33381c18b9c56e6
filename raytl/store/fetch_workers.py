"""Many objects at once, by processes of their own: a thread of boto3 spends 2 ms of Python on an object, a lane 0.08 ms.

boto3 stays in charge. It has listed the bucket, so it is known how it asks (`Route`), and has the credentials; requests are
signed here and handed to `lane`. What does not come whole at the first attempt is left to boto3, its retries and our errors.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

from raytl.store import fetch_worker
from raytl.store.contract import ObjectInfo

CONNECTIONS = 128
"""At most, of all lanes: with a round trip of 30 ms, they ask for some 4,000 objects a second."""
_LANES = 4
_FEW = 8
_LOST = 64
_EMPTY = hashlib.sha256(b"").hexdigest()


class Credentials(Protocol):
    """What requests are signed with: botocore's frozen credentials."""

    access_key: str
    secret_key: str
    token: str | None


@dataclass(frozen=True, slots=True)
class Route:
    """How a bucket's objects are asked for: at `host` (with its port, as in the header), their keys after `base`; signed
    for `region`, or not where that is None."""

    scheme: str
    host: str
    base: str
    region: str | None
    pays: bool = False
    cafile: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        name, _, port = self.host.rpartition(":") if not self.host.endswith("]") else (self.host, "", "")
        plain = not port.isdigit()
        number = (443 if self.scheme == "https" else 80) if plain else int(port)
        return (self.host if plain else name).strip("[]"), number


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object as it was listed, its key in the bucket, and the file that it shall be."""

    info: ObjectInfo
    key: str
    path: str


def request(route: Route, credentials: Credentials | None, key: str, now: float) -> bytes:
    """The bytes of a GET of `key`, signed by Amazon's version 4 for `now` in seconds since the epoch."""
    path = route.base + quote(key, safe="/-_.~")
    headers = {"host": route.host}
    if route.pays:
        headers["x-amz-request-payer"] = "requester"
    if credentials is not None and route.region is not None:
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        headers |= {"x-amz-content-sha256": _EMPTY, "x-amz-date": moment}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        headers["authorization"] = _signature(path, dict(sorted(headers.items())), credentials, route.region)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\n{lines}accept-encoding: identity\r\n\r\n".encode()


def _signature(path: str, headers: dict[str, str], credentials: Credentials, region: str) -> str:
    moment, names = headers["x-amz-date"], ";".join(headers)
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = hashlib.sha256(f"GET\n{path}\n\n{lines}\n{names}\n{_EMPTY}".encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{canonical}"):
        key = hmac.digest(key, part.encode(), "sha256")
    return f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"


def usable(route: Route, count: int) -> bool:
    """True if so many objects are worth processes, and no proxy of the environment is in the way."""
    return count >= _FEW and (route.scheme not in getproxies() or bool(proxy_bypass(route.address[0])))


def brought(
    route: Route, credentials: Callable[[], Credentials | None], wanted: Sequence[Wanted], silence_s: float
) -> Generator[ObjectInfo, None, None]:
    """Those of `wanted` that came whole at the first attempt, as they come; their folders have to be there.

    Gives up early where most do not come.
    """
    count = max(1, min(_LANES, len(os.sched_getaffinity(0)), len(wanted) // 2))
    cafile = (route.cafile or ssl.get_default_verify_paths().cafile or "") if route.scheme == "https" else None
    told = (*route.address, cafile, CONNECTIONS // count, silence_s)
    work = _Work(route, credentials, wanted)
    processes = _started(count)
    threads = [threading.Thread(target=work.drive, args=(one, told, count), daemon=True) for one in processes]
    for thread in threads:
        thread.start()
    try:
        yield from work.results(len(processes))
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            _ended(process)
        for thread in threads:
            thread.join()
        for process in processes:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


def _started(count: int) -> list[subprocess.Popen[bytes]]:
    """Lanes, up to `count`; fewer where the system has no room for them."""
    command = [sys.executable, "-I", "-S", fetch_worker.__file__]
    processes = []
    for _ in range(count):
        with suppress(OSError):
            processes.append(
                subprocess.Popen(
                    command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            )
    return processes


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Waits until it has removed what came half, or ends it."""
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Work:
    """What is left to hand out, and what was said of the rest."""

    def __init__(self, route: Route, credentials: Callable[[], Credentials | None], wanted: Sequence[Wanted]) -> None:
        self._route, self._credentials, self._wanted = route, credentials, wanted
        self._left = iter(range(len(wanted)))
        self._handing = threading.Lock()
        self._said: SimpleQueue[list[tuple[int, bool]] | None] = SimpleQueue()

    def drive(self, process: subprocess.Popen[bytes], told: tuple[Any, ...], fetch_workers: int) -> None:
        """Keep one lane busy until nothing is left, or it ends."""
        assert process.stdin is not None and process.stdout is not None
        there, here = process.stdin.fileno(), process.stdout.fileno()
        try:
            fetch_worker.send(there, told)
            open_ = self._hand(there, min(2 * CONNECTIONS // fetch_workers, -(-len(self._wanted) // fetch_workers)))
            while open_ and (said := fetch_worker.receive(here)) is not None:
                self._said.put(said)
                open_ += self._hand(there, len(said)) - len(said)
        except OSError:  # it ended, or was ended
            return
        finally:
            self._said.put(None)

    def results(self, fetch_workers: int) -> Iterator[ObjectInfo]:
        """What came whole, until all lanes are done or too many objects were lost."""
        came = lost = 0
        while fetch_workers and not (lost >= _LOST and lost > came):
            said = self._said.get()
            if said is None:
                fetch_workers -= 1
                continue
            for number, whole in said:
                came, lost = came + whole, lost + (not whole)
                if whole:
                    yield self._wanted[number].info

    def _hand(self, there: int, count: int) -> int:
        """Hands a lane up to `count` jobs, signed now; how many there were."""
        with self._handing:
            numbers = list(islice(self._left, count))
        if numbers:
            credentials, now = self._credentials(), time.time()
            fetch_worker.send(there, [self._job(number, credentials, now) for number in numbers])
        return len(numbers)

    def _job(self, number: int, credentials: Credentials | None, now: float) -> fetch_worker.Job:
        one = self._wanted[number]
        asked = request(self._route, credentials, one.key, now)
        return number, asked, one.path, one.info.size, one.info.etag
