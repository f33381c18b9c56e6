"""`raytl sync`: download a dataset to this node and print its snapshot id."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import plural
from raytl.cli.options import Json, Overrides, s3_settings
from raytl.cli.plan_tables import data_table
from raytl.cli.progress import watching
from raytl.cli.tables import facts
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_experiment
from raytl.config.schema import DataConfig
from raytl.events import OnEvent
from raytl.store.s3_settings import S3Settings
from raytl.uris import in_bucket

if TYPE_CHECKING:
    from raytl.config.schema import Experiment
    from raytl.data.snapshot import Snapshot

_MB = 1e6


def sync(
    target: Annotated[
        str,
        typer.Argument(
            metavar="URI|FILE", help="Images (a URI or a folder), or an experiment file.", show_default=False
        ),
    ],
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Download or refresh a dataset.

    Unchanged files are not downloaded again. Prints the snapshot id of the data: `data.snapshot: ID` trains on exactly this
    data, or fails and lists what changed.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted="interrupted; run the same command again to resume"):
        experiment = load_experiment(Path(target), set_ or []) if target.endswith((".yaml", ".yml")) else None
        with watching(terminal.err) as on_event:
            snapshot = _taken(experiment, on_event) if experiment else _at_uri(target, set_ or [], on_event)
        terminal.show(*_tables(snapshot))
        terminal.result(asdict(snapshot))


def _taken(experiment: Experiment, on_event: OnEvent) -> Snapshot:
    """Return the snapshot of the data as the task of the experiment reads it."""
    from raytl.data.snapshot import take
    from raytl.tasks.registry import task_named

    types = task_named(experiment.task).target_types
    s3, channels = S3Settings.of(experiment.storage), experiment.model.channels
    return take(experiment.data, on_event, s3, experiment.annotations, types, experiment.labels, channels)


def _at_uri(uri: str, overrides: list[str], on_event: OnEvent) -> Snapshot:
    """Return the snapshot of the data at a URI, with annotations if it has any."""
    from raytl.data.snapshot import take

    return take(DataConfig(uri=uri), on_event, s3_settings(overrides))


def _tables(snapshot: Snapshot) -> list[RenderableType]:
    notes = [Text(f"warning: {line}", style="yellow") for line in snapshot.warnings]
    return [
        data_table(snapshot.images, snapshot.uri),
        facts(
            [
                ("snapshot", snapshot.id),
                ("images", f"{snapshot.count:,}, {snapshot.size_bytes / _MB:,.1f} MB"),
                ("streamed from" if in_bucket(snapshot.folder) else "on this node", snapshot.folder),
                *([("left out", plural(len(snapshot.skipped), "file"))] if snapshot.skipped else []),
            ]
        ),
        *notes,
        Text(f"to train on exactly this data: --set data.snapshot={snapshot.id}"),
    ]
