"""The cluster's job server, through Ray Jobs: submit, look, follow, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raytl.config.home import ray_token_file
from raytl.errors import Conflict, Denied, NotFound, RaytlError, StoreError, Unavailable, first_line
from raytl.jobs.pack import Pack
from raytl.jobs.spec import JobSpec
from raytl.sanitize import command

RUNNING = ("PENDING", "RUNNING")
_STARTING_S = 60.0
HERE = "http://127.0.0.1:8265"
"""The job server of a cluster on this machine."""
_ADDRESS = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


@dataclass(frozen=True)
class JobState:
    """A job as the cluster tells it: `status` PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED; times in seconds since 1970."""

    id: str
    status: str
    message: str
    entrypoint: str
    metadata: Mapping[str, str]
    started_s: float | None
    ended_s: float | None
    exit_code: int | None

    @property
    def alive(self) -> bool:
        """True until it has ended."""
        return self.status in RUNNING


class Jobs:
    """The jobs of one cluster."""

    def __init__(self, address: str | None, token: str | None = None) -> None:
        """`address` is http(s)://head:8265; None = RAY_API_SERVER_ADDRESS, or a cluster on this machine.

        The `token` goes only to an address that was named: whoever listens on this machine's port is not asked for.

        Raises:
            Unavailable: no job server answers there.
            Denied: it wants another token, or one at all.
        """
        with _addressed(address), _translated(address):
            from ray.job_submission import JobSubmissionClient

            logging.getLogger("ray.dashboard").setLevel(logging.WARNING)  # it tells of every upload and socket
            is_named = bool(address) or any(os.environ.get(name) for name in _ADDRESS)
            headers = {"Authorization": f"Bearer {token}"} if token and is_named else None
            self._client = JobSubmissionClient(address or os.environ.get(_ADDRESS[0]) or HERE, headers=headers)
        self._address = address

    def all(self) -> list[JobState]:
        """Every job that raytl submitted, the newest first."""
        with _translated(self._address):
            found = self._client.list_jobs()
        states = [_state(details) for details in found if details.submission_id and "raytl" in (details.metadata or {})]
        return sorted(states, key=lambda state: -(state.started_s or 0.0))

    def state(self, job: str) -> JobState:
        """The job as it is now; NotFound where there is none of that id."""
        with _translated(self._address, job):
            return _state(self._client.get_job_info(job))

    def attempts(self, base: str) -> list[JobState]:
        """What was submitted before under that id, in order."""
        found = [state for state in self.all() if state.id.rpartition("-")[0] == base]
        return sorted(found, key=lambda state: int(state.id.rpartition("-")[2]))

    def submit(self, spec: JobSpec, packed: Pack) -> JobState:
        """Uploads the pack and starts the job; Conflict where one of that id is there."""
        until = time.monotonic() + _STARTING_S
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pack.zip")
            path.write_bytes(packed.content)
            while True:
                try:
                    self._submit(spec, path)
                except Unavailable:  # the cluster has just started
                    if time.monotonic() > until:
                        raise
                    time.sleep(1.0)
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
        """What the job has said so far."""
        with _translated(self._address, job):
            text: str = self._client.get_job_logs(job)
        return text

    def follow(self, job: str) -> Iterator[str]:
        """What the job says, as it says it, until it ends."""
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
            loop.close()

    def stop(self, job: str) -> None:
        """Asks the job to end; it saves nothing more, and the same submission goes on from its last checkpoint."""
        with _translated(self._address, job):
            self._client.stop_job(job)


def next_attempt(spec: JobSpec, before: list[JobState], new: bool) -> JobSpec | JobState:
    """What submitting `spec` comes to: the job that is there already, or the next attempt.

    One that runs or has succeeded is attached to, unless `new`; after one that failed or was stopped, another goes on with
    its run. A tick of retraining that has succeeded is over: the next one looks at the data again.
    """
    base = spec.id.rpartition("-")[0]
    if not before:
        return spec
    last = before[-1]
    done = last.status == "SUCCEEDED" and spec.metadata["verb"] != "retrain"
    if not new and (last.alive or done):
        return last
    return replace(spec, id=f"{base}-{int(last.id.rpartition('-')[2]) + 1}")


def find_token() -> str | None:
    """The cluster's token from where Ray looks for it: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token."""
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given.strip()
    given = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(given) if given else ray_token_file()
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


@contextmanager
def _addressed(address: str | None) -> Iterator[None]:
    """Ray's client prefers the environment to its argument; people expect the contrary."""
    before = {name: os.environ.pop(name) for name in _ADDRESS if address and name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


@contextmanager
def _translated(address: str | None, job: str = "") -> Iterator[None]:
    """Ray's errors as ours, once."""
    try:
        yield
    except (GeneratorExit, RaytlError):
        raise
    except Exception as exc:
        ours = _ours(exc, address or "the cluster", job)
        if ours is None:
            raise
        raise ours from exc


def _ours(exc: Exception, cluster: str, job: str) -> RaytlError | None:
    from ray.exceptions import AuthenticationError

    told = first_line(exc)
    if isinstance(exc, AuthenticationError):
        return Denied(
            f"{cluster}: {told}.\n"
            "  Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the token that the cluster was started with."
        )
    if isinstance(exc, ConnectionError):
        return Unavailable(
            f"{cluster}: no job server answers ({told}).\n"
            "  Expected --address http://head:8265, or RAY_API_SERVER_ADDRESS; is the cluster up, and the port open from here?"
        )
    if not isinstance(exc, RuntimeError):
        return None
    if "404" in told or "does not exist" in told:
        return NotFound(f"{job}: no such job on {cluster}; `raytl jobs` lists those that there are")
    if "No available agent" in told:
        return Unavailable(f"{cluster}: the head takes no jobs yet ({told}); wait until it has started")
    if "already" in str(exc):
        return Conflict(f"{job}: a job of this id is there already; `{command('raytl', 'status', job)}` shows it")
    return StoreError(f"{job or cluster}: the job server says: {told}")
