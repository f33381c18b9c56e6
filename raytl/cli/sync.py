"""`raytl sync`: data on this node as it is in its store now, and the id that names it."""

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
from raytl.store.s3_settings import S3Settings
from raytl.uris import in_bucket

if TYPE_CHECKING:
    from raytl.data.snapshot import Snapshot

_MB = 1e6


def sync(
    target: Annotated[
        str, typer.Argument(metavar="URI|FILE", help="Where the images are, or an experiment file.", show_default=False)
    ],
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Pull a dataset to this node, or refresh it, and name its snapshot.

    What is unchanged is not fetched again. The id it prints pins the data: `data.snapshot: ID` trains on exactly that,
    or fails naming what changed.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted="interrupted; run the same command again to go on from what is here"):
        config, s3 = _config(target, set_ or [])
        with watching(terminal.err) as on_event:
            from raytl.data.snapshot import take

            found = take(config, on_event, s3)
        terminal.show(*_tables(found))
        terminal.result(asdict(found))


def _config(target: str, overrides: list[str]) -> tuple[DataConfig, S3Settings]:
    if target.endswith((".yaml", ".yml")):
        experiment = load_experiment(Path(target), overrides)
        return experiment.data, S3Settings.of(experiment.storage)
    return DataConfig(uri=target), s3_settings(overrides)


def _tables(found: Snapshot) -> list[RenderableType]:
    images = sum(sum(by_class.values()) for by_class in found.images.values())
    notes = [Text(f"warning: {line}", style="yellow") for line in found.warnings]
    return [
        data_table(found.images, found.uri),
        facts(
            [
                ("snapshot", found.id),
                ("images", f"{images:,}, {found.size_bytes / _MB:,.1f} MB"),
                ("streamed from" if in_bucket(found.folder) else "on this node", found.folder),
                *([("left out", plural(len(found.skipped), "file"))] if found.skipped else []),
            ]
        ),
        *notes,
        Text(f"to train on exactly this: --set data.snapshot={found.id}"),
    ]
