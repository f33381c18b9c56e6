"""`raytl collect`: choose images of the feedback of a server to label, and take their labels back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.completion import run_folders
from raytl.cli.numbers import plural
from raytl.cli.options import RUN_HELP, Json, Settings
from raytl.cli.progress import watching
from raytl.cli.sources import as_words
from raytl.cli.tables import facts
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.config.machine import Machine
from raytl.errors import ConfigError
from raytl.sanitize import command

if TYPE_CHECKING:
    from raytl.feedback.driver import Collected
    from raytl.feedback.estimate import AccuracyInUse
    from raytl.feedback.returned import ReturnedLabels

_OUT = Path("to_label.csv")
_BUDGET, _RANDOM = 200, 0.2


Feedback = Annotated[
    str, typer.Argument(metavar="URI", help="The feedback of `raytl serve --feedback URI`.", show_default=False)
]
Budget = Annotated[
    int | None, typer.Option(metavar="N", help=f"Images to label. Default: {_BUDGET}.", show_default=False)
]
RandomShare = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help=f"The part drawn at random, which estimates the accuracy in use. Default: {_RANDOM}.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="RUN",
        help=f"{RUN_HELP} Its training and test images, and copies of them, are not chosen.",
        show_default=False,
        autocompletion=run_folders,
    ),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help=f"The table to fill in. Default: {_OUT}.", show_default=False)
]
LabelsFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Take the labels of this table back, and choose nothing.", show_default=False),
]


def collect(
    uri: Feedback,
    budget: Budget = None,
    random_share: RandomShare = None,
    model: Model = None,
    out: Out = None,
    labels: LabelsFile = None,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Choose which images to label: uncertain and diverse ones, and a random share for an unbiased estimate of the accuracy.

    Fill in the column `label` of the table, and return it with --labels: `raytl retrain` adds the images to training, never to
    validation or test.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, None, "interrupted; nothing was recorded"):
        machine = load_machine(set_ or [])
        if labels is None:
            chosen = _choose(terminal, uri, budget, random_share, model, out or _OUT, machine)
            terminal.show(
                *_chosen(chosen, command("raytl", "collect", *as_words(uri, model, set_), "--labels", chosen.out))
            )
            terminal.result(chosen.to_json())
            return
        idle = {"--budget": budget, "--random-share": random_share, "--out": out}
        if given := [name for name, value in idle.items() if value is not None]:
            raise ConfigError(f"{given[0]} chooses images, and --labels takes labels back; give one of them")
        with watching(terminal.err) as on_event:
            from raytl.feedback import driver

            done = driver.returned(uri, labels, model=model, machine=machine, on_event=on_event)
        terminal.show(*_returned(done))
        terminal.result(asdict(done))


def _choose(
    terminal: Terminal,
    uri: str,
    budget: int | None,
    random_share: float | None,
    model: str | None,
    out: Path,
    machine: Machine,
) -> Collected:
    with watching(terminal.err) as on_event:
        from raytl.feedback import driver

        return driver.collect(
            uri,
            _BUDGET if budget is None else budget,
            out,
            model=model,
            random_share=_RANDOM if random_share is None else random_share,
            machine=machine,
            on_event=on_event,
        )


def _chosen(result: Collected, returning: str) -> Iterator[RenderableType]:
    total = sum(result.images.values())
    reasons = ", ".join(f"{count:,} {why}" for why, count in result.images.items())
    rows = [
        ("to label", f"{plural(total, 'image')}: {reasons}"),
        ("from", f"{plural(result.records, 'answer')} in {result.uri}"),
        ("left out", ", ".join(f"{count:,} {why}" for why, count in result.left_out.items())),
        ("table", result.out),
        ("page", result.page),
        ("next", returning),
    ]
    yield facts([row for row in rows if row[1]])


def _returned(result: ReturnedLabels) -> Iterator[RenderableType]:
    rows = [
        ("labelled", f"{plural(result.labelled, 'image')}, of which {result.relabelled:,} changed"),
        ("blank", f"{plural(result.blank, 'row')} without a label" if result.blank else ""),
        (
            "deleted",
            f"{plural(result.deleted, 'row')} of photos that are no longer in the prefix" if result.deleted else "",
        ),
        ("stored", result.key),
    ]
    yield facts([row for row in rows if row[1]])
    if result.new_classes:
        names = ", ".join(map(repr, result.new_classes))
        yield Text(f"new classes: {names}; check their spelling, as `raytl retrain` will learn them", style="yellow")
    for each in result.estimates:
        yield _estimate(each)


def _estimate(each: AccuracyInUse) -> Text:
    if not each.labelled:
        return Text(f"version {each.version}: no image of the random share is labelled, so its accuracy is not known")
    value, low, high = (100 * number for number in (each.accuracy.value, each.accuracy.low, each.accuracy.high))
    part = "" if each.is_complete else f"; label the other {each.images - each.labelled} too, or it is biased"
    return Text(
        f"version {each.version}: accuracy in use {value:.1f} % ({low:.1f} to {high:.1f} %, 95 %), from "
        f"{each.labelled} random images{part}",
        style="bold" if each.is_complete else "yellow",
    )
