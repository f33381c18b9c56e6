"""`raytl jobs`, `status`, `logs`, `stop`: what was submitted to a cluster."""

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
from raytl.sanitize import command

if TYPE_CHECKING:
    from raytl.jobs.client import Jobs, JobState

Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The cluster's job server, http(s)://head:8265; RAY_API_SERVER_ADDRESS where left out.",
        show_default=False,
    ),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job, as `raytl jobs` lists it.", show_default=False)]
_LINES = 12
_COLOURS = {"SUCCEEDED": "green", "FAILED": "red", "STOPPED": "yellow", "RUNNING": "cyan", "PENDING": "dim"}


def jobs(address: Address = None, json: Json = False) -> None:
    """List what raytl submitted to a cluster, the newest first."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        found = attached(address).all()
        made = table(("job", "status", "started", "took", "run"), right=("took",))
        for state in found:
            made.add_row(
                Text(state.id), _status(state), _started(state), _took(state), Text(state.metadata.get("run", ""))
            )
        terminal.show(made if found else Text("no jobs"))
        terminal.result({"jobs": [asdict(state) for state in found]})


def status(job: JobId, address: Address = None, json: Json = False) -> None:
    """Show one job: its state, and the last lines that it said."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        cluster = attached(address)
        state = cluster.state(job)
        lines = cluster.logs(job).splitlines()[-_LINES:]
        terminal.show(*job_facts(state), Text("\n".join(lines)))
        terminal.result({**asdict(state), "lines": lines})


def logs(
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    address: Address = None,
    json: Json = False,
) -> None:
    """Print what a job said; with --follow, what it says. Ctrl-C leaves, and the job goes on."""
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted=f"left; the job goes on: {command('raytl', 'logs', job, '--follow')}"):
        cluster = attached(address)
        said = cluster.follow(cluster.state(job).id) if follow else iter([cluster.logs(job)])
        parts = []
        for piece in said:
            parts.append(piece)
            terminal.text(piece)
        terminal.result({"id": job, "log": "".join(parts)})


def stop(job: JobId, address: Address = None, json: Json = False) -> None:
    """Stop a job. Its run keeps its last checkpoint, and the same submission goes on from there."""
    terminal = Terminal.open(json)
    with guarded(terminal):
        cluster = attached(address)
        if cluster.state(job).alive:
            cluster.stop(job)
        state = ended(cluster, job, _STOPPING_S)
        terminal.show(*job_facts(state))
        terminal.result(asdict(state))


_STOPPING_S = 30.0


def attached(address: str | None) -> Jobs:
    """The cluster's jobs."""
    from raytl.jobs.client import Jobs, find_token

    return Jobs(address, find_token())


def followed(terminal: Terminal, cluster: Jobs, job: str) -> JobState:
    """What the job says goes to standard error as it comes; the job once it has ended."""
    for piece in cluster.follow(job):
        terminal.err.print(Text(piece), end="", soft_wrap=True)
    return ended(cluster, job, _STOPPING_S)


def ended(cluster: Jobs, job: str, seconds: float) -> JobState:
    """The job once it has ended, or as it is after so long."""
    until = time.monotonic() + seconds
    while (state := cluster.state(job)).alive and time.monotonic() < until:
        time.sleep(0.5)
    return state


def job_facts(state: JobState) -> list[RenderableType]:
    """One job for people."""
    rows = [("job", state.id), ("status", state.status.lower())]
    if not state.alive and state.exit_code is not None:
        rows.append(("exit code", str(state.exit_code)))
    if state.status == "FAILED" and state.message:
        rows.append(("said", state.message.strip().splitlines()[0][:200]))
    rows += [("started", _started(state)), ("took", _took(state)), ("run", state.metadata.get("run", ""))]
    if state.alive:
        rows.append(
            ("next", f"{command('raytl', 'logs', state.id, '--follow')}    {command('raytl', 'stop', state.id)}")
        )
    return [facts([(key, value) for key, value in rows if value])]


def _status(state: JobState) -> Text:
    return Text(state.status.lower(), style=_COLOURS.get(state.status, ""))


def _started(state: JobState) -> str:
    return "" if state.started_s is None else datetime.fromtimestamp(state.started_s).strftime("%Y-%m-%d %H:%M:%S")


def _took(state: JobState) -> str:
    if state.started_s is None:
        return ""
    return duration((state.ended_s or time.time()) - state.started_s)
