"""`raytl report`: what can be trusted about a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from raytl.cli.options import Device, Json, Run, Settings
from raytl.cli.progress import watching
from raytl.cli.sources import as_words
from raytl.cli.tables import facts
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.gc_pause import importing
from raytl.run.run_store import RunStore
from raytl.sanitize import command
from raytl.store.s3_settings import S3Settings

if TYPE_CHECKING:
    from raytl.assessment.report import Assessment


Quick = Annotated[bool, typer.Option("--quick", help="Leave out what needs the train split or corrupted photos.")]
Full = Annotated[
    bool, typer.Option("--full", help="Train networks that never saw a group, two for each of the five largest.")
]


def report(
    run: Run,
    sections: Annotated[
        str | None, typer.Option(metavar="A,B", help="The sections to write. Default: all.", show_default=False)
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="accuracy>=X",
            help="An aim for what is answered (precision>=X for detections); may be repeated.",
            show_default=False,
        ),
    ] = None,
    recall: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS>=X", help="An aim for the recall of a class; may be repeated.", show_default=False),
    ] = None,
    quick: Quick = False,
    full: Full = False,
    suite: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The corruptions of the photos. Default: camera.", show_default=False),
    ] = None,
    photos: Annotated[
        int | None,
        typer.Option(metavar="N", help="Validation photos to corrupt, at most. Default: 100.", show_default=False),
    ] = None,
    device: Device = None,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Report what can be trusted: calibration, certified thresholds, prediction sets, errors, slices, suspect labels, robustness.

    Everything is chosen on validation and confirmed on the stored answers to the test split; run `raytl evaluate` first. An
    aim that is not met ends with exit code 1.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        machine = load_machine([*(set_ or []), *([f"compute.device={device}"] if device else [])])
        folder = RunStore.open(run, S3Settings.of(machine.storage)).folder
    with guarded(terminal, folder.log, "interrupted; no report was written"):
        with importing():
            from raytl.assessment.report import report as report_on  # imports torch
        with watching(terminal.err) as on_event:
            result = report_on(
                run,
                sections=_listed(sections),
                require=require or (),
                recall=recall or (),
                quick=quick,
                full=full,
                suite=suite,
                photos=photos,
                machine=machine,
                on_event=on_event,
            )
        terminal.show(*_tables(result, as_words(run, None, set_)))
        terminal.result(result.to_json())
        if result.unmet:
            raise typer.Exit(1)


def _listed(sections: str | None) -> list[str] | None:
    return None if sections is None else [name.strip() for name in sections.split(",")]


def _tables(result: Assessment, run: Sequence[str]) -> list[RenderableType]:
    """Return the conclusions of each section, the files, and the command that uses them."""
    parts: list[RenderableType] = []
    for section in result.sections.values():
        lines = [Text(f"  {text}") for text in section.sentences]
        warnings = [Text(f"  {text}", style="yellow") for text in section.warnings]
        parts.append(Group(Text(section.title, style="bold"), *lines, *warnings, Text()))
    parts += [Text(text, style="red") for text in result.unmet]
    files = [("report", f"{result.folder}/report.html"), ("model card", f"{result.folder}/MODEL_CARD.md")]
    parts.append(facts([*files, *_next(result, run)]))
    return parts


def _next(result: Assessment, run: Sequence[str]) -> list[tuple[str, str]]:
    """Return the command that applies the report: with the highest accuracy that it certifies, else with its sets."""
    if "sets" not in result.sections:
        return []
    aims = result.sections["thresholds"].json["aims"] if "thresholds" in result.sections else ()
    met = [aim["at_least"] for aim in aims if aim["met"] and aim["recall_of"] is None]
    options = ["--require", f"accuracy>={max(met):g}"] if met else ["--uncertainty"]
    return [("next", command("raytl", "predict", run[0], "PHOTOS", *options, *run[1:]))]
