"""`raytl doctor`: diagnose the machines, the cluster and the buckets."""

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

_FAILING: tuple[Level, ...] = ("error", "warn")
_MARKS = {"ok": ("ok", "green"), "warn": ("warning", "yellow"), "error": ("error", "bold red")}


def doctor(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="An experiment whose cluster and buckets to check.", show_default=False),
    ] = None,
    set_: Overrides = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="The cluster: auto, host:port, local or embedded (a Ray on this machine), or none; default: compute.cluster.",
            show_default=False,
        ),
    ] = None,
    buckets: Annotated[
        list[str] | None,
        typer.Option(
            "--bucket", metavar="URI", help="Also check this bucket, writing a small object; may be repeated."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check the machines, the network and the buckets before a run.

    On every machine: versions, GPUs, disks, limits and clocks. Between the machines: the network.
    From each machine: the buckets. Data is only read; where runs are stored, a small object is written and deleted.
    Exits with 1 if there is an error.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        cluster, targets = _targets(file, set_ or [], address, buckets or [])
        with watching(terminal.err) as on_event:
            from raytl.doctor.diagnosis import findings
            from raytl.doctor.examine import examine

            results = findings(examine(cluster, targets, on_event))
        terminal.show(*finding_tables(results))
        levels = Counter(finding.level for finding in results)
        terminal.result({"findings": [asdict(finding) for finding in results], "errors": levels["error"]})
        if levels["error"]:
            raise typer.Exit(1)


def _targets(file: Path | None, overrides: list[str], address: str | None, uris: list[str]) -> tuple[str, list[Bucket]]:
    """Return the cluster and the buckets to check."""
    from raytl.doctor.bucket import Bucket

    if file is None:
        s3 = s3_settings(overrides)
        return address or "local", [Bucket(uri.rstrip("/"), True, s3) for uri in uris]
    experiment = load_experiment(file, overrides)
    s3 = S3Settings.of(experiment.storage)
    own = [Bucket(experiment.data.uri, write=False, s3=s3), Bucket(experiment.storage.uri, write=True, s3=s3)]
    named = [Bucket(uri.rstrip("/"), True, s3) for uri in uris]
    return address or experiment.compute.cluster, [*(each for each in own if in_bucket(each.uri)), *named]


def finding_tables(results: list[Finding]) -> list[RenderableType]:
    """Return the findings as a table, errors first, with a line that counts errors and warnings."""
    rows = table(("", "check", "result"))
    for finding in results:
        word, style = _MARKS[finding.level]
        cell = Text(finding.observed)
        if finding.expected:
            cell.append(f"\nexpected {finding.expected}", style="dim")
        if finding.advice:
            cell.append(f"\n-> {finding.advice}", style="cyan")
        rows.add_row(Text(word, style=style), Text(finding.check), cell)
    levels = Counter(finding.level for finding in results)
    counts = [plural(levels[level], _MARKS[level][0]) for level in _FAILING if levels[level]]
    return [rows, Text(" and ".join(counts) or "no problems found", style="bold")]
