"""`raytl tune`: search for the best way to transfer on this data, or go on where an interrupted sweep stopped."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from raytl.cli.options import ExperimentFile, Json, Overrides
from raytl.cli.sweep_tables import plan_tables, result_tables
from raytl.cli.sweep_view import watching_sweep
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_experiment
from raytl.errors import ConfigError

_INTERRUPTED = "interrupted; run the same command again to continue, with --add N for more trials"


def tune(
    file: ExperimentFile,
    set_: Overrides = None,
    new: Annotated[bool, typer.Option("--new", help="Start over; the earlier sweep is kept aside.")] = False,
    add: Annotated[int, typer.Option("--add", help="Run so many trials more than before.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen and what it costs.")] = False,
    json: Json = False,
) -> None:
    """Search unfreeze depth, rates, decay and augmentation, as an experiment file's `search` section says.

    The same command goes on with an interrupted sweep, and leaves a finished one alone. The test split is not touched.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        _check(new, add, dry_run)
        experiment = load_experiment(file, set_ or [])
    with guarded(terminal, None, _INTERRUPTED):
        with watching_sweep(terminal.err) as on_event:
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
    """Options that contradict each other."""
    if add < 0:
        raise ConfigError(f"--add: found {add}, expected 1 or more trials")
    if new and (add or dry_run):
        raise ConfigError(f"--new starts over; it cannot stand with {'--add' if add else '--dry-run'}")
