"""`raytl labels`: rank the labels that are probably wrong, and take their corrections back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import plural
from raytl.cli.options import Json, Overrides, Source
from raytl.cli.progress import watching
from raytl.cli.sources import as_words, named_experiment
from raytl.cli.tables import facts, table, titled
from raytl.cli.terminal import Terminal, guarded
from raytl.errors import ConfigError
from raytl.gc_pause import importing
from raytl.sanitize import command

if TYPE_CHECKING:
    from raytl.advice.labels import DoubtfulLabels
    from raytl.labelling.fixes import AppliedFixes

_LISTED = 20
_OUT = Path("labels")


def labels(
    source: Source,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="A,B,C",
            help="Further networks to ask: models, files, runs or versions, or MODEL=FILE. Two find more wrong labels than one.",
        ),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(
            "--apply",
            metavar="FILE",
            help="Check this filled table, add its rows to labels.relabel, and rank nothing.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help=f"Folder of the table and the page with thumbnails. Default: {_OUT}.",
            show_default=False,
        ),
    ] = None,
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Rank the doubtful labels of training and validation images; take corrections back. Trains nothing, and changes no label.

    Asks classifiers of frozen features that did not learn the image; test images are never listed. Fill in the columns label
    (a class, the given one if it is right, or - to leave the image out), who and why, and return the table with --apply:
    labels.relabel of the experiment collects the corrections, with which the data has another snapshot ID.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, None, "interrupted; nothing was recorded"):
        given = [name for name, value in {"--weights": weights, "--out": out}.items() if value is not None]
        if apply is not None and given:
            raise ConfigError(f"{given[0]} ranks labels, and --apply takes corrections back; give one of them")
        words = as_words(source, None, set_)
        experiment = named_experiment(terminal, source, None, set_)
        with watching(terminal.err) as on_event:
            if apply is not None:
                from raytl.labelling.fixes import apply_fixes

                fixes = apply_fixes(experiment, apply, on_event=on_event)
                terminal.show(*_applied(fixes, words))
                terminal.result(asdict(fixes))
                return
            with importing():
                from raytl.advice.labels import doubtful_labels

            result = doubtful_labels(experiment, weights.split(",") if weights else (), out or _OUT, words, on_event)
        terminal.show(*_ranked(result, words))
        terminal.result(asdict(result))


def _ranked(result: DoubtfulLabels, words: Sequence[str]) -> Iterator[RenderableType]:
    if result.listed:
        columns = ("image", "split", "label", "suggested", "probability", "margin")
        rows = table(columns, right_aligned=columns[4:])
        for each in result.listed[:_LISTED]:
            numbers = f"{each.probability:.3f}", f"{each.margin:.3f}"
            rows.add_row(Text(each.key), each.split, Text(each.given), Text(each.suggested), *numbers)
        if len(result.listed) > _LISTED:
            rows.add_row(f"… {len(result.listed) - _LISTED:,} more", *[""] * 5)
        yield titled("doubtful labels, the most doubtful first", rows)
    counts = ", ".join(f"{count:,} {split}" for split, count in result.images.items())
    reviewed = f"; {plural(result.reviewed, 'image')} reviewed before" if result.reviewed else ""
    yield facts(
        [
            ("images", f"{counts} (test images are never listed){reviewed}"),
            ("networks", ", ".join(result.networks)),
            *([("table", result.table), ("page", result.page)] if result.table else []),
            *([("next", command("raytl", "labels", *words, "--apply", result.table))] if result.table else []),
        ]
    )
    yield Text(f"{result.sentence[0].upper()}{result.sentence[1:]}.", style="" if result.trusted else "yellow")
    yield from (Text(note, style="yellow") for note in result.notes)


def _applied(fixes: AppliedFixes, words: Sequence[str]) -> Iterator[RenderableType]:
    replaced = f"; {fixes.replaced:,} replace an earlier one" if fixes.replaced else ""
    yield facts(
        [
            (
                "corrections",
                f"{fixes.relabelled:,} relabelled, {fixes.left_out:,} left out, {fixes.confirmed:,} confirmed",
            ),
            *([("blank", f"{plural(fixes.blank, 'row')} without a label")] if fixes.blank else []),
            ("file", f"{fixes.uri}: {plural(fixes.total, 'correction')}{replaced}"),
            ("next", f"{command('raytl', 'check', *words)}: the data has another snapshot ID now"),
        ]
    )
