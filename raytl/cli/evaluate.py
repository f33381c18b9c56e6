"""`raytl evaluate`: score a run on its held-out test split."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from raytl.cli.options import Device, Json, Run, Settings
from raytl.cli.progress import watching
from raytl.cli.tables import evaluation_tables
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.gc_pause import importing
from raytl.run.run_store import RunStore
from raytl.store.s3_settings import S3Settings


class Split(StrEnum):
    """The splits of the data."""

    TEST = "test"
    VAL = "val"
    TRAIN = "train"


def evaluate(
    run: Run,
    split: Annotated[Split, typer.Option(help="The split to score.")] = Split.TEST,
    again: Annotated[
        bool, typer.Option("--again", help="Evaluate the test split once more; later reports are marked.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Ray workers; 1 = this process, without Ray.")] = 1,
    device: Device = None,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Score a run's best checkpoint, with 95 % intervals, and write the report into the run.

    The test split is locked: the first evaluation is recorded, and another one needs --again.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        machine = load_machine([*(set_ or []), *([f"compute.device={device}"] if device else [])])
        folder = RunStore.open(run, S3Settings.of(machine.storage)).folder
    with guarded(terminal, folder.log, "interrupted; no report was written"):
        with watching(terminal.err) as on_event:
            with importing():
                from raytl.evaluation.evaluate import evaluate as evaluate_run

            report = evaluate_run(
                run, split=split.value, again=again, workers=workers, machine=machine, on_event=on_event
            )
        terminal.show(*evaluation_tables(report))
        terminal.result(report.to_json())
