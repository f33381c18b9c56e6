"""`raytl train`: fine-tune, or go on where an interrupted run stopped."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from raytl.cli.options import ExperimentFile, Json, Overrides
from raytl.cli.progress import watching
from raytl.cli.tables import train_tables
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_experiment
from raytl.run.folder import RunFolder

_INTERRUPTED = "interrupted; run the same command again to continue"


def train(
    file: ExperimentFile,
    set_: Overrides = None,
    new: Annotated[bool, typer.Option("--new", help="Start over; the earlier run is kept aside.")] = False,
    json: Json = False,
) -> None:
    """Fine-tune as an experiment file says.

    The same command goes on with an interrupted run, and leaves a finished one alone.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        experiment = load_experiment(file, set_ or [])
    folder = RunFolder.of(experiment)
    with guarded(terminal, folder.log, _INTERRUPTED):
        with watching(terminal.err) as on_event:
            from raytl.training.driver import train as train_experiment

            result = train_experiment(experiment, new=new, on_event=on_event)
        terminal.show(*train_tables(result, experiment))
        terminal.result(asdict(result))
