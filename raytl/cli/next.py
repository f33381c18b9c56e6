"""`raytl next`: which images without labels to label next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import plural
from raytl.cli.options import Json, Model, Overrides, Source
from raytl.cli.progress import watching
from raytl.cli.sources import named_experiment
from raytl.cli.tables import MOST_ROWS, facts, table
from raytl.cli.terminal import Terminal, guarded
from raytl.errors import ConfigError
from raytl.gc_pause import importing

if TYPE_CHECKING:
    from raytl.advice.next_images import NextImages

_COUNT = 35


def next_(
    source: Source,
    count: Annotated[int, typer.Option("-n", "--count", metavar="N", help="Images to label.")] = _COUNT,
    model: Model = None,
    set_: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the table to fill in (.csv), and a page beside it."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE if it exists.")] = False,
    json: Json = False,
) -> None:
    """Choose which images of data.unlabelled to label next: uncertain ones that differ from each other. Trains nothing.

    Also measures whether a method of few.method would help without more labels, and what more labels are expected to bring.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        if out is None and force:
            raise ConfigError("--force: cannot take effect without --out; leave it out")
        experiment = named_experiment(terminal, source, model, set_)
        with watching(terminal.err) as on_event:
            with importing():
                from raytl.advice.next_images import next_images

            chosen = next_images(experiment, count, out, on_event, force)
        terminal.show(*_tables(chosen))
        terminal.result(chosen.to_json())


def _tables(chosen: NextImages) -> Iterator[RenderableType]:
    rows = table(("image", "suggested", "confidence"), right_aligned=("confidence",))
    for image in chosen.images[:MOST_ROWS]:
        rows.add_row(Text(image.key.partition(":")[2]), Text(image.suggested), f"{image.confidence:.2f}")
    if len(chosen.images) > MOST_ROWS:
        rows.add_row(f"… {len(chosen.images) - MOST_ROWS} more", "", "")
    yield rows
    yield from (Text(line) for line in (*chosen.notes, *chosen.sentences))
    lines = [
        (
            "to label",
            f"{plural(len(chosen.images), 'image')} of {chosen.unlabelled:,}; {chosen.labelled:,} are labelled",
        ),
        ("table", chosen.out or ""),
        ("page", chosen.page or ""),
    ]
    yield facts([line for line in lines if line[1]])
