"""What a client of the job server does when the connection, the address or the server is not as expected."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import requests
from ray.exceptions import AuthenticationError

from raytl.errors import Conflict, Denied, NotFound, RaytlError, StoreError, Unavailable, UserError
from raytl.jobs import client
from raytl.jobs.client import Jobs, JobState
from raytl.jobs.pack import Pack
from raytl.jobs.spec import JobSpec

JOB = "raytl-train-tiny-4040404040-1"
RUNNING = JobState(JOB, "RUNNING", "", "python -m raytl train", {}, None, None, None)
DONE = replace(RUNNING, status="SUCCEEDED", exit_code=0)
CLOSED = RuntimeError("WebSocket connection closed unexpectedly with close code 1006")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.time, "sleep", lambda _: None)


class Connections:
    """A job server each of whose connections sends some pieces of the log and is then closed, or lost with an error."""

    def __init__(self, *connections: Sequence[str | Exception]) -> None:
        self._connections = iter(connections)

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        for piece in next(self._connections):
            if isinstance(piece, Exception):
                raise piece
            yield piece


def jobs(server: Any, *states: JobState | Exception) -> Jobs:
    """Return a client of `server` to whom the job has these states one after the other, and then the last one."""
    answers = iter(states)
    last = [states[-1]]

    def state(_: str) -> JobState:
        answer = next(answers, last[0])
        if isinstance(answer, Exception):
            raise answer
        return answer

    followed = Jobs.__new__(Jobs)
    followed._client, followed._address = server, "http://head:8265"
    followed.state = state  # type: ignore[method-assign]
    return followed


LOST = [CLOSED, requests.exceptions.ConnectionError("reset")]


@pytest.mark.parametrize("end", [[], *([each] for each in LOST)], ids=["closed", "lost", "reset"])
def test_a_log_is_followed_past_a_lost_connection_until_the_job_ends(end: list[Exception]) -> None:
    server = Connections(["one\ntw", "o\n", *end], [*end], ["one\n", "two\nthree\n", "four\n"])
    followed = jobs(server, RUNNING, Unavailable("away"), RUNNING, DONE).follow(JOB)
    assert "".join(followed) == "one\ntwo\nthree\nfour\n"


def test_the_rest_of_a_log_is_read_after_a_job_that_ended_while_the_connection_was_lost() -> None:
    assert "".join(jobs(Connections(["one\n", CLOSED], ["one\n", "two\n"]), DONE).follow(JOB)) == "one\ntwo\n"
    assert "".join(jobs(Connections(["one\n", CLOSED], [CLOSED]), DONE).follow(JOB)) == "one\n"


def test_a_server_that_stays_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_LOST_TIMEOUT_S", -1.0)
    followed = jobs(Connections(["one\n", CLOSED]), Unavailable("away"), DONE).follow(JOB)
    assert next(followed) == "one\n"
    with pytest.raises(Unavailable, match="away"):
        next(followed)


def test_a_submission_whose_answer_was_lost_is_the_job_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = iter(
        [requests.exceptions.ReadTimeout("timed out"), RuntimeError(f"Job with submission_id {JOB} already exists.")]
    )

    class Server:
        def submit_job(self, **_: object) -> None:
            raise next(errors)

    spec = JobSpec(JOB, "python", {}, {})
    assert jobs(Server(), RUNNING).submit(spec, Pack({}, b"", "")) == RUNNING
    errors = iter([RuntimeError(f"Job with submission_id {JOB} already exists.")])
    with pytest.raises(Conflict, match="a job with this id exists"):
        jobs(Server(), RUNNING).submit(spec, Pack({}, b"", ""))


@pytest.mark.parametrize(
    ("error", "job", "translated"),
    [
        (requests.exceptions.ConnectionError("refused"), JOB, Unavailable),
        (requests.exceptions.ReadTimeout("slow"), "", Unavailable),
        (requests.exceptions.JSONDecodeError("Expecting value", "<html>", 0), "", Unavailable),
        (RuntimeError("Version check returned 404. Please ensure the cluster is running Ray 1.9 or higher."), "", Unavailable),
        (RuntimeError("Request failed with status code 502: bad gateway."), JOB, Unavailable),
        (CLOSED, JOB, Unavailable),
        (RuntimeError(f"Request failed with status code 404: Job {JOB} does not exist."), JOB, NotFound),
        (RuntimeError(f"Request failed with status code 400: Job with submission_id {JOB} already exists."), JOB, Conflict),
        (RuntimeError(f"Request failed with status code 500: {JOB}: the port is already in use."), JOB, StoreError),
        (AuthenticationError("wrong token"), JOB, Denied),
    ],
)  # fmt: skip
def test_each_error_of_rays_client_is_translated(error: Exception, job: str, translated: type[RaytlError]) -> None:
    assert type(client._translation(error, "http://head:8265", job)) is translated


@pytest.mark.parametrize("address", ["head:8265", "ray://head:10001", "auto"])
def test_an_address_that_is_no_url_of_a_job_server_is_refused(address: str) -> None:
    with pytest.raises(UserError, match=r"expected the URL of the job server, http://head:8265"):
        Jobs(address)
    assert client._url("http://head:8265/") == "http://head:8265"
