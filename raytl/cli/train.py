"""`raytl train`: fine-tune, or resume an interrupted run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from raytl.cli.options import Json, Model, Overrides, Source
from raytl.cli.progress import watching
from raytl.cli.sources import named_experiment
from raytl.cli.tables import train_tables
from raytl.cli.terminal import Terminal, guarded
from raytl.gc_pause import importing
from raytl.run.folder import RunFolder
from raytl.training.early import early_workers

_INTERRUPTED = "interrupted; run the same command again to resume"


def train(
    source: Source,
    model: Model = None,
    set_: Overrides = None,
    new: Annotated[bool, typer.Option("--new", help="Start over; the earlier run is kept under another name.")] = False,
    json: Json = False,
) -> None:
    """Fine-tune a pretrained model.

    SOURCE is an experiment file, or images with the defaults that `raytl init` writes. Run the same command again to resume
    an interrupted run. A finished run is left alone.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        experiment = named_experiment(terminal, source, model, set_)
    folder = RunFolder.of(experiment)
    with guarded(terminal, folder.log, _INTERRUPTED):
        with watching(terminal.err) as on_event, early_workers(experiment):
            with importing():
                from raytl.tasks.defaults import completed
                from raytl.training.driver import train as train_experiment

            result = train_experiment(experiment, new=new, on_event=on_event)
        terminal.show(*train_tables(result, completed(experiment)))
        terminal.result(asdict(result))
