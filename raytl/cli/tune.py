"""`raytl tune`: search for the best way to transfer on this data, or resume an interrupted sweep."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from raytl.cli.options import Json, Model, Overrides, Source
from raytl.cli.sources import named_experiment
from raytl.cli.sweep_tables import plan_tables, result_tables
from raytl.cli.sweep_view import watching_sweep
from raytl.cli.terminal import Terminal, guarded
from raytl.errors import ConfigError
from raytl.gc_pause import importing
from raytl.search.early import early_trials

_INTERRUPTED = "interrupted; run the same command again to resume (--add N for more trials)"


def tune(
    source: Source,
    model: Model = None,
    set_: Overrides = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start over; the earlier sweep is kept under another name.")
    ] = False,
    add: Annotated[
        int,
        typer.Option("--add", metavar="N", help="Run N more trials than before; the same command again resumes them."),
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost, and run no trial.")] = False,
    json: Json = False,
) -> None:
    """Search unfreeze depth, learning rates and augmentation.

    The experiment's `search` section sets the space and the budget. Run the same command again to resume an interrupted
    sweep. A finished sweep is left alone. The test split is not used.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        _check(new, add, dry_run)
        experiment = named_experiment(terminal, source, model, set_)
    with guarded(terminal, None, _INTERRUPTED):
        early = nullcontext() if dry_run else early_trials(experiment, again=new or add > 0)
        with watching_sweep(terminal.err) as on_event, early:
            with importing():
                from raytl.search import driver

            if dry_run:
                planned = driver.plan_sweep(experiment, add=add, on_event=on_event)
            else:
                result = driver.tune(experiment, new=new, add=add, on_event=on_event)
        if dry_run:
            terminal.show(*plan_tables(planned))
            terminal.result(asdict(planned))
            return
        terminal.show(*result_tables(result))
        terminal.result(asdict(result))


def _check(new: bool, add: int, dry_run: bool) -> None:
    """Raise a ConfigError for options that contradict each other."""
    if add < 0:
        raise ConfigError(f"--add: found {add}, expected 1 or more trials")
    if new and (add or dry_run):
        raise ConfigError(f"--new starts over; it cannot be combined with {'--add' if add else '--dry-run'}")
