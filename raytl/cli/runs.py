"""`raytl runs`: the runs and sweeps below a folder or URI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import age, metric, score
from raytl.cli.options import Json, Settings, s3_settings
from raytl.cli.tables import table
from raytl.cli.terminal import Terminal, guarded

if TYPE_CHECKING:
    from raytl.catalog.entry import Entry

_STYLES = {"running": "cyan", "failed": "red", "unreadable": "red", "interrupted": "yellow", "finished": "green"}


def runs(
    uri: Annotated[str, typer.Argument(metavar="URI", help="A folder or an s3:// URI.")] = "runs/",
    set_: Settings = None,
    json: Json = False,
) -> None:
    """List runs and sweeps.

    Shows the state, the best value of the metric so far, the data snapshot, and the time since the last change. Trials of
    a sweep are left out.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        from raytl.catalog.listing import list_runs

        entries = list_runs(uri, s3=s3_settings(set_))
        terminal.show(*_tables(uri, entries, datetime.now(UTC)))
        terminal.result({"uri": uri, "runs": [asdict(entry) for entry in entries]})


def _tables(uri: str, entries: Sequence[Entry], now: datetime) -> list[RenderableType]:
    if not entries:
        return [Text(f"no runs in {uri}; `raytl train` creates one")]
    rows = table(
        ("run", "kind", "state", "metric", "best", "progress", "model", "data", "age"), right_aligned=("best", "age")
    )
    for entry in entries:
        seconds = entry.age_s(now)
        rows.add_row(
            Text(entry.uri),
            entry.kind,
            Text(entry.state, style=_STYLES[entry.state]),
            metric(entry.metric),
            "" if entry.value is None else score(entry.metric, entry.value),
            _progress(entry),
            Text(entry.model),
            entry.snapshot,
            "" if seconds is None else age(seconds),
        )
    return [rows, *(Text(f"{entry.uri}: {entry.note}", style="yellow") for entry in entries if entry.note)]


def _progress(entry: Entry) -> str:
    unit = "epochs" if entry.kind == "run" else "trials"
    return f"{entry.done}/{entry.total} {unit}" if entry.done and entry.total else ""
