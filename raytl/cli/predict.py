"""`raytl predict`: classes and probabilities of any photos."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raytl.cli.options import Device, Json, Run, Settings
from raytl.cli.progress import watching
from raytl.cli.tables import predictions_tables
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.events import Message

if TYPE_CHECKING:
    from raytl.evaluation.table import Predictions

_LISTED = 10
_FIRST = 3


def predict(
    run: Run,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUTS...",
            help="Folders, manifests or photos, here or in a bucket (s3://...).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write, as .csv or .parquet.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, metavar="N", help="Photos at a time.")] = None,
    device: Device = None,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Say what photos show: the class and all probabilities, as a table in a file or on the terminal.

    Photos that cannot be read are listed and left out; files in folders that are not photos are counted by reason.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        machine = load_machine([*(set_ or []), *([f"compute.device={device}"] if device else [])])
        with watching(terminal.err) as on_event:
            from raytl.evaluation.predict import predict as predict_photos

            found = predict_photos(run, inputs, out=out, batch_size=batch_size, machine=machine, on_event=on_event)
            for text in [*unreadable_lines(found), *left_out_lines(found)]:
                on_event(Message(text, "warning"))
        terminal.show(*predictions_tables(found, out))
        terminal.result(predictions_json(found, out))


def predictions_json(found: Predictions, out: Path | None) -> dict[str, Any]:
    """A summary, and the rows where they were not written to a file."""
    return {
        "out": out,
        "photos": len(found.paths),
        "counts": dict(Counter(found.predicted)),
        "unreadable": [{"path": each.path, "reason": each.reason} for each in found.unreadable],
        "left_out": {
            reason: {"files": len(files), "first": list(files[:_FIRST])} for reason, files in found.left_out.items()
        },
        "weights": found.weights,
    } | ({} if out else {"rows": found.rows})


def unreadable_lines(found: Predictions) -> list[str]:
    """The photos that could not be read, the first few by name."""
    lines = [f"could not read {each.path!r}: {each.reason}" for each in found.unreadable[:_LISTED]]
    more = len(found.unreadable) - _LISTED
    return [*lines, f"and {more} more could not be read"] if more > 0 else lines


def left_out_lines(found: Predictions) -> list[str]:
    """Return a line for each reason for which files in the input folders are left out, the first few by name."""
    from raytl.data.formats.skip_rules import reason_lines

    return reason_lines(found.left_out)
