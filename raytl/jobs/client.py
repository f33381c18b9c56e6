"""A client of the cluster's job server (Ray Jobs): submit, list, follow, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raytl.errors import Conflict, Denied, NotFound, RaytlError, StoreError, Unavailable, UserError, first_line
from raytl.home import ray_token_file
from raytl.jobs.pack import Pack
from raytl.jobs.spec import JobSpec
from raytl.sanitize import command

ACTIVE = ("PENDING", "RUNNING")
_START_TIMEOUT_S = 60.0
_LOST_TIMEOUT_S, _RECONNECT_S = 300.0, 2.0
"""How long a job is followed without a connection, and between attempts to open one."""
LOCAL = "http://127.0.0.1:8265"
"""The job server of a cluster on this machine."""
_LOST = re.compile(r"status code 50[234]|closed unexpectedly")
_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


@dataclass(frozen=True)
class JobState:
    """A job as the cluster reports it: `status` is PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED; times are Unix seconds."""

    id: str
    status: str
    message: str
    entrypoint: str
    metadata: Mapping[str, str]
    started_s: float | None
    ended_s: float | None
    exit_code: int | None

    @property
    def active(self) -> bool:
        """True until the job has ended."""
        return self.status in ACTIVE


class Jobs:
    """The jobs of one cluster."""

    def __init__(self, address: str | None, token: str | None = None) -> None:
        """Connect to `address`, http(s)://head:8265; None = RAY_API_SERVER_ADDRESS, or a cluster on this machine.

        The `token` is sent only to an explicit address: on this machine's default port, any process may listen.

        Raises:
            UserError: the address is no URL of a job server.
            Unavailable: no job server answers there.
            Denied: the token is missing or wrong.
        """
        address = address and _url(address)
        with _addressed(address), _translated(address):
            from ray.job_submission import JobSubmissionClient

            logging.getLogger("ray.dashboard").setLevel(logging.WARNING)  # it logs every upload and socket
            is_explicit = bool(address) or any(os.environ.get(name) for name in _ADDRESS_VARIABLES)
            headers = {"Authorization": f"Bearer {token}"} if token and is_explicit else None
            self._client = JobSubmissionClient(
                address or os.environ.get(_ADDRESS_VARIABLES[0]) or LOCAL, headers=headers
            )
        self._address = address

    def all(self) -> list[JobState]:
        """Return every job that raytl submitted, newest first."""
        with _translated(self._address):
            jobs = self._client.list_jobs()
        states = [_state(details) for details in jobs if details.submission_id and "raytl" in (details.metadata or {})]
        return sorted(states, key=lambda state: -(state.started_s or 0.0))

    def state(self, job: str) -> JobState:
        """Return the job's current state.

        Raises:
            NotFound: no job has this id.
        """
        with _translated(self._address, job):
            return _state(self._client.get_job_info(job))

    def attempts(self, base: str) -> list[JobState]:
        """Return the earlier attempts of that base id, in order."""
        states = [state for state in self.all() if state.id.rpartition("-")[0] == base]
        return sorted(states, key=lambda state: int(state.id.rpartition("-")[2]))

    def submit(self, spec: JobSpec, packed: Pack) -> JobState:
        """Upload the package and start the job.

        Raises:
            Conflict: a job of that id exists.
        """
        deadline, retried = time.monotonic() + _START_TIMEOUT_S, False
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pack.zip")
            path.write_bytes(packed.content)
            while True:
                try:
                    self._submit(spec, path)
                except Unavailable:  # the cluster is still starting, or the answer was lost
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(1.0)
                    retried = True
                except Conflict:
                    if not retried:
                        raise
                    return self.state(spec.id)
                else:
                    return self.state(spec.id)

    def _submit(self, spec: JobSpec, path: Path) -> None:
        with _translated(self._address, spec.id):
            self._client.submit_job(
                entrypoint=spec.entrypoint,
                submission_id=spec.id,
                runtime_env={**spec.runtime_env, "working_dir": str(path)},
                metadata=dict(spec.metadata),
                entrypoint_num_cpus=spec.cpus or None,
                entrypoint_num_gpus=spec.gpus or None,
            )

    def logs(self, job: str) -> str:
        """Return the job's output so far."""
        with _translated(self._address, job):
            text: str = self._client.get_job_logs(job)
        return text

    def follow(self, job: str) -> Iterator[str]:
        """Yield the job's output as it appears, until the job ends; a lost connection is opened again.

        Raises:
            Unavailable: the job server has not answered for minutes; the job may continue.
        """
        printed, has_ended = 0, False
        while True:
            behind, is_whole = printed, False  # each connection starts with the first line
            with suppress(Unavailable):
                for piece in self._tail(job):
                    new, behind = piece[behind:], max(0, behind - len(piece))
                    printed += len(new)
                    if new:
                        yield new
                is_whole = True
            had_ended, has_ended = has_ended, not self._awaited_state(job).active
            if has_ended and (is_whole or had_ended):
                return
            time.sleep(_RECONNECT_S)

    def _awaited_state(self, job: str) -> JobState:
        """Return the job's state as soon as the job server answers."""
        deadline = time.monotonic() + _LOST_TIMEOUT_S
        while True:
            try:
                return self.state(job)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_RECONNECT_S)

    def _tail(self, job: str) -> Iterator[str]:
        """Yield the job's output until the connection closes."""
        pieces = self._client.tail_job_logs(job)
        loop = asyncio.new_event_loop()
        try:
            while True:
                with _translated(self._address, job):
                    try:
                        yield loop.run_until_complete(anext(pieces))
                    except StopAsyncIteration:
                        return
        finally:
            with suppress(RuntimeError):  # Ctrl-C left it in the middle of a call
                loop.run_until_complete(pieces.aclose())  # type: ignore[attr-defined]  # a generator
            loop.close()

    def stop(self, job: str) -> None:
        """Stop the job without another checkpoint; the same submission resumes from the last one."""
        with _translated(self._address, job):
            self._client.stop_job(job)


def next_attempt(spec: JobSpec, earlier: list[JobState], new: bool) -> JobSpec | JobState:
    """Return the existing job that `spec` attaches to, or the spec of the next attempt.

    A job that runs or has succeeded is attached to, unless `new`; after one that failed or was stopped, the next attempt
    resumes its run. A retraining tick that has succeeded is over: the next one checks the data again.
    """
    base = spec.id.rpartition("-")[0]
    if not earlier:
        return spec
    last = earlier[-1]
    done = last.status == "SUCCEEDED" and spec.metadata["verb"] != "retrain"
    if not new and (last.active or done):
        return last
    return replace(spec, id=f"{base}-{int(last.id.rpartition('-')[2]) + 1}")


def find_token() -> str | None:
    """Return the cluster's token from where Ray reads it: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    configured = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(configured) if configured else ray_token_file()
    try:
        return (path and path.read_text(encoding="utf-8").strip()) or None
    except OSError:
        return None


def _state(details: Any) -> JobState:
    return JobState(
        id=details.submission_id,
        status=str(getattr(details.status, "value", details.status)),
        message=details.message or "",
        entrypoint=details.entrypoint,
        metadata=details.metadata or {},
        started_s=details.start_time / 1000 if details.start_time else None,
        ended_s=details.end_time / 1000 if details.end_time else None,
        exit_code=details.driver_exit_code,
    )


def _url(address: str) -> str:
    """Return the address without a slash at its end.

    Raises:
        UserError: it is no URL. Ray would take head:8265 for a cluster's address and wait for an answer in its protocol.
    """
    if not address.startswith(("http://", "https://")):
        raise UserError(
            f"--address: found {address!r}; expected the URL of the job server, http://head:8265 or https://head:8265"
        )
    return address.rstrip("/")


@contextmanager
def _addressed(address: str | None) -> Iterator[None]:
    """Hide the address variables from Ray's client, which would prefer them to an explicit argument."""
    hidden = {name: os.environ.pop(name) for name in _ADDRESS_VARIABLES if address and name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def _translated(address: str | None, job: str = "") -> Iterator[None]:
    """Translate Ray's errors to raytl's."""
    try:
        yield
    except (GeneratorExit, RaytlError):
        raise
    except Exception as exc:
        error = _translation(exc, address or "the cluster", job)
        if error is None:
            raise
        raise error from exc


def _translation(exc: Exception, cluster: str, job: str) -> RaytlError | None:
    from ray.exceptions import AuthenticationError

    text = first_line(exc)
    if isinstance(exc, AuthenticationError):
        return Denied(f"{cluster}: {text}.\n  Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token.")
    if _is_of_the_network(exc, job):
        return Unavailable(
            f"{cluster}: no job server answers ({text}).\n"
            "  Check --address (http://head:8265) or RAY_API_SERVER_ADDRESS, that the cluster is up, and that the port is open."
        )
    if not isinstance(exc, RuntimeError):
        return None
    if job and ("status code 404" in text or "does not exist" in text):
        return NotFound(f"{job}: no such job on {cluster}; run `raytl jobs` to list the jobs")
    if "No available agent" in text:
        return Unavailable(f"{cluster}: the head does not accept jobs yet ({text}); retry when it has started")
    if "already exists" in str(exc):
        return Conflict(f"{job}: a job with this id exists; run `{command('raytl', 'status', job)}` to see it")
    return StoreError(f"{job or cluster}: the job server reports: {text}")


def _is_of_the_network(exc: Exception, job: str) -> bool:
    """Return True for an error of a connection, of a proxy without a job server behind it, or of another server."""
    if isinstance(exc, ConnectionError | TimeoutError):
        return True
    if type(exc).__module__.startswith(("requests.", "aiohttp.")):  # Ray's client uses both and translates neither
        return True
    is_other = not job and "returned 404" in str(exc)
    return isinstance(exc, RuntimeError) and (is_other or bool(_LOST.search(first_line(exc))))
