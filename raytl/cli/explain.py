"""`raytl explain`: where in photos a model finds the evidence for its answers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from raytl.cli.evaluate import Split
from raytl.cli.explain_tables import explanations_tables
from raytl.cli.options import Device, Json, Run, Settings
from raytl.cli.predict import left_out_lines, unreadable_lines
from raytl.cli.progress import watching
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.events import Message
from raytl.gc_pause import importing


class MethodName(StrEnum):
    """The methods of attribution."""

    AUTO = "auto"
    CAM = "cam"
    ROLLOUT = "rollout"
    IG = "ig"
    OCCLUSION = "occlusion"


def explain(
    run: Run,
    photos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHOTOS...",
            help="Folders, manifests or photos, here or in a bucket (s3://...).",
            show_default=False,
        ),
    ] = None,
    mistakes: Annotated[
        bool, typer.Option("--mistakes", help="Explain the run's mistakes, and five correct answers of each class.")
    ] = False,
    split: Annotated[
        Split | None, typer.Option(help="The split of --mistakes, val by default; test reads its last evaluation.")
    ] = None,
    method: Annotated[
        MethodName,
        typer.Option(
            help="Grad-CAM, attention rollout, integrated gradients or occlusion; auto is the first that is valid."
        ),
    ] = MethodName.AUTO,
    label: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Explain this class in all photos instead of the answers."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to write.")] = Path("explanations"),
    batch_size: Annotated[int | None, typer.Option(min=1, metavar="N", help="Photos per batch.")] = None,
    device: Device = None,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Show where in photos a model finds the evidence for its answers: a picture of each, a page and the numbers.

    Photos that cannot be read are listed and skipped.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted="interrupted; no explanations were written"):
        machine = load_machine([*(set_ or []), *([f"compute.device={device}"] if device else [])])
        with watching(terminal.err) as on_event:
            with importing():
                from raytl.evaluation.explain import explain as explain_photos

            result = explain_photos(
                run,
                photos or (),
                mistakes=mistakes,
                split=split and split.value,
                method=method.value,
                label=label,
                out=out,
                batch_size=batch_size,
                machine=machine,
                on_event=on_event,
            )
            for text in [*unreadable_lines(result), *left_out_lines(result)]:
                on_event(Message(text, "warning"))
        terminal.show(*explanations_tables(result, out))
        terminal.result({"out": out, **result.to_json()})
