"""`raytl jobs`, `status`, `logs`, `stop`: the jobs of a cluster."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import duration
from raytl.cli.options import Json
from raytl.cli.tables import facts, table
from raytl.cli.terminal import Terminal, guarded
from raytl.errors import TrainingError
from raytl.sanitize import command

if TYPE_CHECKING:
    from raytl.jobs.client import Jobs, JobState

Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The cluster's job server, http(s)://head:8265; default: RAY_API_SERVER_ADDRESS.",
        show_default=False,
    ),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, see `raytl jobs`.", show_default=False)]
_LINES = 12
_COLORS = {"SUCCEEDED": "green", "FAILED": "red", "STOPPED": "yellow", "RUNNING": "cyan", "PENDING": "dim"}


def jobs(address: Address = None, json: Json = False) -> None:
    """List the jobs that raytl submitted to a cluster, newest first."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        states = connect(address).all()
        rows = table(("job", "status", "started", "duration", "run"), right_aligned=("duration",))
        for state in states:
            rows.add_row(
                Text(state.id), _status(state), _started(state), _duration(state), Text(state.metadata.get("run", ""))
            )
        terminal.show(rows if states else Text("no jobs"))
        terminal.result({"jobs": [asdict(state) for state in states]})


def status(job: JobId, address: Address = None, json: Json = False) -> None:
    """Show the status of a job and the last lines of its log."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        cluster = connect(address)
        state = cluster.state(job)
        lines = cluster.logs(job).splitlines()[-_LINES:]
        terminal.show(*job_facts(state), Text("\n".join(lines)))
        terminal.result({**asdict(state), "lines": lines})


def logs(
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the job ends.")] = False,
    address: Address = None,
    json: Json = False,
) -> None:
    """Print the log of a job. With --follow, Ctrl-C detaches and the job continues."""
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted=f"detached; the job continues: {command('raytl', 'logs', job, '--follow')}"):
        cluster = connect(address)
        chunks = cluster.follow(cluster.state(job).id) if follow else iter([cluster.logs(job)])
        printed = []
        for chunk in chunks:
            printed.append(chunk)
            terminal.text(chunk)
        terminal.result({"id": job, "log": "".join(printed)})


def stop(job: JobId, address: Address = None, json: Json = False) -> None:
    """Stop a job. Its run keeps the last checkpoint; submit the same job again to resume."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        cluster = connect(address)
        if cluster.state(job).active:
            cluster.stop(job)
        state = wait_for_end(cluster, job, _STOP_TIMEOUT_S)
        if state.active:
            raise TrainingError(
                f"{job}: still {state.status.lower()}, {_STOP_TIMEOUT_S:.0f} s after the request to stop it; "
                f"`{command('raytl', 'status', job)}` says when it has ended"
            )
        terminal.show(*job_facts(state))
        terminal.result(asdict(state))


_STOP_TIMEOUT_S = 30.0


def connect(address: str | None) -> Jobs:
    """Return a client of the cluster's job server."""
    from raytl.jobs.client import Jobs, find_token

    return Jobs(address, find_token())


def follow(terminal: Terminal, cluster: Jobs, job: str) -> JobState:
    """Print the job's log to standard error until it ends; return its final state."""
    for chunk in cluster.follow(job):
        terminal.err.print(Text(chunk), end="", soft_wrap=True)
    return wait_for_end(cluster, job, _STOP_TIMEOUT_S)


def wait_for_end(cluster: Jobs, job: str, timeout_s: float) -> JobState:
    """Return the job's state once it has ended, or its current state after the timeout."""
    deadline = time.monotonic() + timeout_s
    while (state := cluster.state(job)).active and time.monotonic() < deadline:
        time.sleep(0.5)
    return state


def job_facts(state: JobState) -> list[RenderableType]:
    """Return one job as a table."""
    rows = [("job", state.id), ("status", state.status.lower())]
    if not state.active and state.exit_code is not None:
        rows.append(("exit code", str(state.exit_code)))
    if state.status == "FAILED" and state.message:
        rows.append(("error", state.message.strip().splitlines()[0][:200]))
    rows += [("started", _started(state)), ("duration", _duration(state)), ("run", state.metadata.get("run", ""))]
    if state.active:
        rows.append(
            ("next", f"{command('raytl', 'logs', state.id, '--follow')}    {command('raytl', 'stop', state.id)}")
        )
    return [facts([(key, value) for key, value in rows if value])]


def _status(state: JobState) -> Text:
    return Text(state.status.lower(), style=_COLORS.get(state.status, ""))


def _started(state: JobState) -> str:
    return "" if state.started_s is None else datetime.fromtimestamp(state.started_s).strftime("%Y-%m-%d %H:%M:%S")


def _duration(state: JobState) -> str:
    if state.started_s is None:
        return ""
    return duration((state.ended_s or time.time()) - state.started_s)
