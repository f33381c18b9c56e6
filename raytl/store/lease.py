"""A lease allows one writer at a time below a URI; it has a generation number and is taken and renewed by conditional puts.

Source of the idea: Gray and Cheriton, "Leases", SOSP 1989. No two clocks are compared: a holder trusts its
lease for a term less a margin, by its own clock, from before it sent its last successful put; another process waits until it
has seen the lease unchanged for a whole term, by its own clock, and then replaces exactly what it saw. Clock readings
do not matter, only that their rates differ by less than 10 %. A virtual machine that is suspended together with its clock
is not covered: it may write once more after it resumes, which `fence` handles.

If a store ignores or rejects conditions (OpenStack Swift, some S3-compatible stores), a writer waits after its put until
every process that may have read before it has put too, and holds the lease if its own put is stored then: Fischer's algorithm, in
Lamport, "A fast mutual exclusion algorithm", 1987. It assumes bounded delays, so the user is warned.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from raytl.errors import Conflict, NotFound, RunError, StoreError, Unavailable
from raytl.events import Message, OnEvent, ignore
from raytl.store.contract import ABSENT, ObjectStore
from raytl.store.holder import MAX_BYTES, Holder, Process, decoded, is_alive, this_process
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

KEY = "lease.json"
TERM_S = 60.0
"""Seconds without a renewal after which another process takes the lease; it is renewed four times per term."""
MARGIN = 0.1
"""Fraction of the term that the holder does not rely on, for clocks with different rates."""
MAX_PUT_DELAY_S = 2.0
"""Without conditional puts: the longest allowed time from reading the lease to having put one."""
_RENEWALS, _READS = 4, 16
"""Per term: renewals by the holder, and reads by a process that waits."""
_TOKENS: set[str] = set()
"""Tokens of the leases that this process holds, to recognize one left by an earlier failure."""

_UNGUARDED = (
    "{uri}: this store does not support conditional puts (If-Match, If-None-Match), so a second raytl that starts at the "
    "same moment may be rejected late; start one at a time"
)


def own_clock() -> float:
    """Return the seconds of a monotonic clock that includes suspensions if the system has one."""
    kind = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if kind is None else time.clock_gettime(kind)


@dataclass(frozen=True)
class Node:
    """The clock and process functions of the machine that a lease is taken on; `date` is for messages only."""

    clock: Callable[[], float] = own_clock
    pause: Callable[[float], None] = lambda seconds: time.sleep(seconds)
    date: Callable[[], str] = lambda: datetime.now(UTC).isoformat(timespec="seconds")
    process: Callable[[], Process] = this_process
    is_alive: Callable[[Process], bool | None] = is_alive


class Lease:
    """The exclusive right to write below `store`; `check` raises once it is lost."""

    def __init__(self, store: ObjectStore, holder: Holder, put: _Put, node: Node) -> None:
        self._store, self._put, self._node = store, put, node
        self._is_lost = False
        self.holder, self.is_guarded = holder, True

    def check(self) -> None:
        """Return if this process may write.

        Raises:
            RunError: another process may be writing.
        """
        if self._is_lost or self._node.clock() - self._put.sent >= TERM_S * (1 - MARGIN):
            raise RunError(
                f"{self._store.uri}: this process lost its lease (it could not reach the store, or "
                "another raytl took over); nothing more was written. Run the same command again to resume."
            )

    def renew(self) -> None:
        """Renew the lease for another term.

        Raises:
            RunError: another process has taken it.
        """
        self._replace(replace(self.holder, heartbeat=self.holder.heartbeat + 1, renewed=self._node.date()))
        if self._is_lost:
            self.check()

    def release(self) -> None:
        """Release the lease, so that the next process does not wait."""
        with suppress(RunError, StoreError):
            self._replace(replace(self.holder, given_back=True))
        self._is_lost = True
        _TOKENS.discard(self.holder.token)

    def _replace(self, holder: Holder) -> None:
        if not self.is_guarded:
            self.check()  # nothing else prevents overwriting a successor's lease
        put = _put(self._store, holder, self._put.etag, self._node)
        if put is None:
            self._is_lost = True
        else:
            self._put, self.holder = put, holder


@dataclass(frozen=True)
class WriteToken:
    """Permission for other processes to write below `uri` under the lease with `token`, in its `generation`."""

    uri: str
    token: str
    generation: int


class Watch:
    """Another process's lease, checked before each write under it."""

    def __init__(
        self,
        write_token: WriteToken | None,
        store: ObjectStore,
        clock: Callable[[], float] = own_clock,
        s3: S3Settings = ENVIRONMENT,
    ) -> None:
        """Watch the lease of `write_token`; without one, the lease that `store` has now, if any."""
        self._store, self._clock = (open_store(write_token.uri, s3) if write_token else store), clock
        self._etag, self._since = "", 0.0
        holder = None if write_token else self._read().holder
        self.token = write_token.token if write_token else self._token(holder)
        self.generation = write_token.generation if write_token else holder.generation if holder else 0

    def check(self) -> None:
        """Return if writing is allowed.

        Raises:
            Conflict: another process took the lease, or its holder has ended.
            Unavailable: its holder has not renewed it for a whole term, by this machine's clock; it may come back.
        """
        seen = self._read()
        if self._token(seen.holder) != self.token or (seen.holder is not None and seen.holder.given_back):
            raise Conflict(
                f"{self._store.uri}: another raytl took over, or the lease was released; nothing more was written"
            )
        if seen.etag != self._etag:
            self._etag, self._since = seen.etag, self._clock()
        elif self.token is not None and self._clock() - self._since >= TERM_S:
            raise Unavailable(f"{self._store.uri}: no driver heartbeat for {TERM_S:g} s; writes are suspended")

    def _read(self) -> _Reading:
        return retried(lambda: _read(self._store, self._clock))

    def _token(self, holder: Holder | None) -> str | None:
        return None if holder is None else holder.token


def take(
    store: ObjectStore, on_event: OnEvent = ignore, floor: Callable[[], int] = lambda: 0, node: Node | None = None
) -> Lease:
    """Take the lease on `store` with the next generation; warn if the store does not support conditional puts.

    A lease of another machine is watched for up to a term first. If there is no lease, `floor` returns the highest
    generation that wrote there.

    Raises:
        RunError: another process holds it; names the holder and its last renewal.
        StoreError: the store cannot be read or written.
    """
    node = node or Node()
    seen = _read_retried(store, node)
    if not _is_free(store, seen, node):
        seen = _await_expiry(store, seen, on_event, node)
    generation = 1 + (seen.holder.generation if seen.holder else floor())
    me = node.process()
    holder = Holder(generation, secrets.token_hex(8), me.host, me.pid, me.boot, me.started, 0, node.date())
    _TOKENS.add(holder.token)
    try:
        return _put_lease(store, holder, seen, on_event, node)
    except BaseException:
        _TOKENS.discard(holder.token)
        raise


@contextmanager
def held(store: ObjectStore, on_event: OnEvent = ignore, floor: Callable[[], int] = lambda: 0) -> Iterator[Lease]:
    """Hold the lease on `store`: renew it in the background, and release it at the end.

    Raises:
        RunError: another process holds it.
    """
    lease, done = take(store, on_event, floor), threading.Event()
    thread = threading.Thread(target=renew_until, args=(lease, done.wait), name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        lease.release()


def renew_until(lease: Lease, wait: Callable[[float], bool]) -> None:
    """Renew the lease until `wait(seconds)` returns True, or the lease is lost."""
    rest_s = TERM_S / _RENEWALS
    while not wait(rest_s):
        try:
            lease.renew()
            rest_s = TERM_S / _RENEWALS
        except RunError:
            return
        except StoreError:  # `check` knows when it is too late
            rest_s = TERM_S / _READS


@dataclass(frozen=True)
class _Reading:
    """A reading of the lease: its holder (None if unreadable or absent), its etag, and the times around the request."""

    holder: Holder | None
    etag: str
    requested_at: float
    answered_at: float


@dataclass(frozen=True)
class _Put:
    """A successful put, and when it was sent by this machine's clock."""

    etag: str
    sent: float


def _put_lease(store: ObjectStore, holder: Holder, seen: _Reading, on_event: OnEvent, node: Node) -> Lease:
    """Put `holder` in place of the lease that was seen, and return its lease.

    Raises:
        RunError: another process was first.
    """
    put = retried(lambda: _put(store, holder, seen.etag, node), pause=node.pause)
    if put is None:
        raise _race_error(store)
    lease = Lease(store, holder, put, node)
    lease.is_guarded = retried(lambda: store.guards(KEY, holder.encoded()), pause=node.pause)
    if not lease.is_guarded:
        on_event(Message(_UNGUARDED.format(uri=store.uri), "warning"))
        _await_competing_puts(lease, store, node.clock() - seen.requested_at, node)
    return lease


def _is_free(store: ObjectStore, seen: _Reading, node: Node) -> bool:
    """Return whether the lease may be taken at once; False if it has to be watched.

    Raises:
        RunError: its holder runs on this machine.
    """
    if seen.etag == ABSENT or (seen.holder is not None and seen.holder.given_back):
        return True
    if seen.holder is None:  # perhaps written by a later version of raytl
        return False
    if seen.holder.process == node.process() and seen.holder.token not in _TOKENS:
        return True  # this process held it and could not release it
    is_running = node.is_alive(seen.holder.process)
    if is_running:
        raise _occupied_error(store, seen)
    return is_running is False


def _await_expiry(store: ObjectStore, first: _Reading, on_event: OnEvent, node: Node) -> _Reading:
    """Wait until the lease is released or unchanged for a whole term; return its last reading.

    Raises:
        RunError: its holder still renews it, or another process took it.
    """
    who = str(first.holder) if first.holder else "a process whose lease this version of raytl cannot read"
    on_event(
        Message(f"{store.uri}: {who} holds the lease; waiting up to {TERM_S:g} s to see whether it still writes there")
    )
    while True:
        node.pause(TERM_S / _READS)
        seen = _read_retried(store, node)
        if seen.etag == first.etag:
            if seen.requested_at - first.answered_at >= TERM_S:
                return seen
        elif _is_free(store, seen, node):
            return seen
        else:
            raise _occupied_error(store, seen)


def _await_competing_puts(lease: Lease, store: ObjectStore, took_s: float, node: Node) -> None:
    """Wait until every process that read the lease before this put has put too; fail if one of them put last.

    A process that took longer than allowed may have overwritten a lease whose holder no longer waits. That holder notices
    at its next renewal, which is awaited too.
    """
    node.pause(MAX_PUT_DELAY_S if took_s < MAX_PUT_DELAY_S else MAX_PUT_DELAY_S + TERM_S / _RENEWALS)
    seen = _read_retried(store, node)
    if seen.holder is None or seen.holder.token != lease.holder.token:
        raise _race_error(store)


def _occupied_error(store: ObjectStore, seen: _Reading) -> RunError:
    who = str(seen.holder) if seen.holder else "another raytl"
    renewed = f"; it last renewed its lease {seen.holder.last_renewal}" if seen.holder else ""
    return RunError(
        f"{store.uri}: {who} is writing there{renewed}.\n  Wait for it, stop it, or give this experiment another name."
    )


def _race_error(store: ObjectStore) -> RunError:
    return RunError(f"{store.uri}: another raytl started to write there at the same moment; wait for it, or stop it")


def _put(store: ObjectStore, holder: Holder, expected: str, node: Node) -> _Put | None:
    """Put the holder in place of `expected`; return None if another process was first. An earlier attempt whose response was
    lost counts as this one."""
    for is_last in (False, True):
        sent = node.clock()
        try:
            return _Put(store.put_bytes(KEY, holder.encoded(), expected).etag, sent)
        except (Conflict, NotFound):
            seen = _read(store, node.clock)
            if is_last or seen.holder is None or seen.holder.token != holder.token:
                return None
            expected = seen.etag
    return None


def _read_retried(store: ObjectStore, node: Node) -> _Reading:
    return retried(lambda: _read(store, node.clock), pause=node.pause)


def _read(store: ObjectStore, clock: Callable[[], float]) -> _Reading:
    requested_at = clock()
    try:
        etag = store.stat(KEY).etag  # before the bytes: a put that would replace newer bytes fails
        holder = decoded(store.get_bytes(KEY, 0, MAX_BYTES + 1))
    except NotFound:
        holder, etag = None, ABSENT
    return _Reading(holder, etag, requested_at, clock())
