"""`raytl doctor`: what is wrong with the machines, the cluster and the buckets, in one screen."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import plural
from raytl.cli.options import Json, Overrides, s3_settings
from raytl.cli.progress import watching
from raytl.cli.tables import table
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_experiment
from raytl.store.s3_settings import S3Settings
from raytl.uris import in_bucket

if TYPE_CHECKING:
    from raytl.doctor.bucket import Bucket
    from raytl.doctor.finding import Finding, Level

_WRONG: tuple[Level, ...] = ("error", "warn")
_MARKS = {"ok": ("ok", "green"), "warn": ("warning", "yellow"), "error": ("error", "bold red")}


def doctor(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="An experiment: its cluster and its buckets.", show_default=False),
    ] = None,
    set_: Overrides = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="The cluster: auto, host:port, local (an embedded Ray) or none; compute.cluster where left out.",
            show_default=False,
        ),
    ] = None,
    buckets: Annotated[
        list[str] | None,
        typer.Option("--bucket", metavar="URI", help="Reach for this too, writing a small object; may be given again."),
    ] = None,
    json: Json = False,
) -> None:
    """Look for what is wrong before a run finds it.

    On every machine of the cluster: versions, GPUs, disks, limits and clocks; how fast the machines reach each other, and
    each of them the buckets. Data is only read; where runs are kept, a small object is written and removed. Ends with 1
    where there is an error.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        cluster, wanted = _wanted(file, set_ or [], address, buckets or [])
        with watching(terminal.err) as on_event:
            from raytl.doctor.examine import examine
            from raytl.doctor.verdict import findings

            found = findings(examine(cluster, wanted, on_event))
        terminal.show(*finding_tables(found))
        levels = Counter(finding.level for finding in found)
        terminal.result({"findings": [asdict(finding) for finding in found], "errors": levels["error"]})
        if levels["error"]:
            raise typer.Exit(1)


def _wanted(file: Path | None, overrides: list[str], address: str | None, uris: list[str]) -> tuple[str, list[Bucket]]:
    """The cluster and the buckets to look at."""
    from raytl.doctor.bucket import Bucket

    if file is None:
        s3 = s3_settings(overrides)
        return address or "local", [Bucket(uri.rstrip("/"), True, s3) for uri in uris]
    experiment = load_experiment(file, overrides)
    s3 = S3Settings.of(experiment.storage)
    own = [Bucket(experiment.data.uri, write=False, s3=s3), Bucket(experiment.storage.uri, write=True, s3=s3)]
    named = [Bucket(uri.rstrip("/"), True, s3) for uri in uris]
    return address or experiment.compute.cluster, [*(each for each in own if in_bucket(each.uri)), *named]


def finding_tables(found: list[Finding]) -> list[RenderableType]:
    """The findings for people, what is wrong first; then how many are."""
    made = table(("", "what", "found"))
    for finding in found:
        word, style = _MARKS[finding.level]
        told = Text(finding.found)
        if finding.expected:
            told.append(f"\nexpected {finding.expected}", style="dim")
        if finding.advice:
            told.append(f"\n-> {finding.advice}", style="cyan")
        made.add_row(Text(word, style=style), Text(finding.what), told)
    levels = Counter(finding.level for finding in found)
    sums = [plural(levels[level], _MARKS[level][0]) for level in _WRONG if levels[level]]
    return [made, Text(" and ".join(sums) or "nothing is wrong", style="bold")]
