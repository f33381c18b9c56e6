"""`raytl retrain`: run one tick of retraining, or one at each time of a cron expression."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.models import models_next
from raytl.cli.options import ExperimentFile, Json, Overrides
from raytl.cli.progress import watching
from raytl.cli.sweep_view import watching_sweep
from raytl.cli.tables import facts
from raytl.cli.terminal import INTERRUPTED, Terminal, guarded
from raytl.config.load import load_experiment
from raytl.config.places import registry_uri
from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.gc_pause import importing
from raytl.score_names import p_text

if TYPE_CHECKING:
    from raytl.retraining.changes import Changes
    from raytl.retraining.tick import Retraining
    from raytl.retraining.ticks import Tick

_INTERRUPTED = "interrupted; the next tick resumes from what was recorded"
_DRY = "interrupted; nothing was written"
_COLOURS = {"promote": "green", "keep": "cyan", "reject": "yellow", "attention": "yellow", "failure": "red"}


def retrain(
    file: ExperimentFile,
    set_: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Observe the data and decide; train, move and write nothing.")
    ] = False,
    watch: Annotated[
        str | None,
        typer.Option(
            metavar="CRON", help="Keep running, with a tick at each time of the cron expression: '0 6 * * *', @daily."
        ),
    ] = None,
    now: Annotated[
        str | None, typer.Option(metavar="TIME", help="Decide as if it were this time (ISO 8601), for experiments.")
    ] = None,
    json: Json = False,
) -> None:
    """Run one tick: observe the data, train if there is reason, compare with the champion, promote or keep.

    Safe to run at any time from any scheduler: if a tick is killed, the next one resumes it; if two overlap, the second names
    the lease holder and exits 0; a tick that fails leaves the champion unchanged and exits 1.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        if watch and (dry_run or now):
            raise ConfigError(
                f"--watch runs ticks by the clock; it cannot be combined with {'--dry-run' if dry_run else '--now'}"
            )
        experiment = load_experiment(file, set_ or [])
        at = _time(now)
    with guarded(terminal, None, _DRY if dry_run else _INTERRUPTED):
        if watch:
            _watch(terminal, experiment, watch)
        else:
            _tick(terminal, experiment, at, dry_run)


def _tick(terminal: Terminal, experiment: Experiment, now: datetime | None, dry_run: bool = False) -> None:
    watcher = watching_sweep if experiment.retrain.how.search_again is not None else watching
    with watcher(terminal.err) as on_event:
        with importing():
            from raytl.retraining.after import after_tick
            from raytl.retraining.tick import retrain as run_tick

        after = after_tick(experiment, on_event)
        result = run_tick(experiment, dry_run=dry_run, now=now, on_event=on_event, after=after)
    terminal.show(*_tables(result, dry_run))
    tick = None if result.tick is None else result.tick.to_json()
    terminal.result({**asdict(result), "tick": tick})


def _watch(terminal: Terminal, experiment: Experiment, expression: str) -> None:
    """Run ticks until Ctrl-C; a failed tick is reported and the next one runs."""
    from raytl.retraining.cron import schedule
    from raytl.retraining.watch import due_times

    due = schedule(expression)
    registry_uri(experiment)
    for _ in due_times(due, lambda at: terminal.say(f"next tick at {at.strftime('%Y-%m-%d %H:%M')}")):
        try:
            with guarded(terminal, None, _INTERRUPTED):
                _tick(terminal, experiment, None)
        except typer.Exit as ended:
            if ended.exit_code == INTERRUPTED:
                raise


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--now {text}: not a time; expected ISO 8601, such as 2026-11-21T06:00:00+00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _tables(result: Retraining, dry_run: bool) -> Iterable[RenderableType]:
    tick = result.tick
    if tick is None:
        yield Text(f"another tick is running: {result.held}")
        return
    outcome = f"would {result.next_step}" if dry_run else tick.outcome
    yield Text(outcome, style=_COLOURS.get(tick.outcome, "bold"))
    for reason in tick.decision.reasons if dry_run and tick.decision is not None else tick.reasons:
        yield Text(f"  {reason}")
    rows = [("changes", _changes(tick.changes) if tick.changes is not None else "")]
    rows += [("doubtful", _doubtful(tick, result.registry, dry_run) if tick.doubtful else "")]
    rows += [("champion", "none yet" if result.champion is None else f"version {result.champion}")]
    rows += [("challenger", f"version {tick.version}, {tick.run}" if tick.version is not None else "")]
    rows += [("tick", tick.id), ("registry", result.registry)]
    yield facts([row for row in rows if row[1]])
    if not dry_run and tick.version is not None:
        yield Text(models_next(result.registry))


def _doubtful(tick: Tick, registry: str, dry_run: bool) -> str:
    """Return how many labels to look at, and where they are listed if the tick trained."""
    from raytl.labelling.sheet import TABLE
    from raytl.retraining.ticks import MAX_DOUBTFUL, WORK

    many = f"{MAX_DOUBTFUL} or more" if len(tick.doubtful) == MAX_DOUBTFUL else f"{len(tick.doubtful)}"
    is_kept = not dry_run and tick.outcome not in ("skip", "attention")
    return f"{many} labels to look at" + (f": {registry}/{WORK}{tick.id}/{TABLE}" if is_kept else "")


def _changes(changes: Changes) -> str:
    parts = [
        (changes.added_count, "added"),
        (changes.removed_count, "removed"),
        (changes.relabelled_count, "relabelled"),
        (sum(changes.left_out.values()), "left out"),
        (changes.unreadable, "unreadable"),
    ]
    counts = ", ".join(f"{count:,} {what}" for count, what in parts if count) or "none"
    drift = changes.drift
    return counts + (f"; drift {drift.amount:.2f} ({p_text(drift.auc_p)})" if drift is not None else "")
