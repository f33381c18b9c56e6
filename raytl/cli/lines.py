"""An event as a line of text, for terminals and logs."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from raytl.cli.numbers import count, duration, metric, plural, rate, score
from raytl.events import (
    EpochEnded,
    Event,
    Message,
    Restarted,
    Resumed,
    StageOpened,
    Step,
    TrialChanged,
    TrialReady,
    Work,
)

_STYLES = {"info": "", "warning": "yellow", "error": "bold red"}
_ON_A_LINE = 4


def pace(work: Work) -> str:
    """Return the rate of work and the remaining time, such as `, 120/s, 1:05 left`; empty if the rate is unknown."""
    if work.per_s <= 0:
        return ""
    left = (work.total - work.done) / work.per_s
    return f", {work.per_s:,.0f}/s" + (f", {duration(left)} left" if left > 0 else "")


def line(event: Event) -> Text:
    """Return the event as one line."""
    match event:
        case TrialChanged():
            return trial(event)
        case TrialReady():
            return Text(
                f"{event.trainable:,} trainable parameters at the end; cached features: {event.features}", style="dim"
            )
        case Message():
            mark = "" if event.level == "info" else f"{event.level}: "
            return Text(mark + event.text, style=_STYLES.get(event.level, ""))
        case Work(unit=""):
            return Text(f"{event.name}: {'done' if event.done >= event.total else 'running'}", "dim")
        case Work():
            return Text(
                f"{event.name}: {event.done:,} of {plural(event.total, event.unit.removesuffix('s'))}{pace(event)}",
                "dim",
            )
        case StageOpened():
            return _stage(event)
        case Step():
            return Text(f"{position(event)}  {status(event)}", style="dim")
        case EpochEnded():
            return _epoch(event)
        case Resumed():
            inside = f", step {event.step + 1}" if event.step else ""
            return Text(f"resuming from the last checkpoint: epoch {event.epoch}{inside}", style="cyan")
        case Restarted():
            return Text(_restarted(event), style="yellow")


def _restarted(event: Restarted) -> str:
    if event.cause == "resize":
        return f"{event.reason}; restarting with them"
    if event.cause == "preemption":
        return f"{event.reason}; resuming on other machines, attempt {event.attempt}"
    return f"workers lost ({event.reason}); restarting them, attempt {event.attempt}"


def trial(event: TrialChanged) -> Text:
    """Return a trial as `trial 12/64 complete 0.9310 (best 0.9341 by 7)  unfreeze 3, lr 0.0012`."""
    value = "" if event.value is None else f" {event.value:.4f}"
    best = "" if event.best is None else f" (best {event.best:.4f} by {event.best_number})"
    shared = "" if event.features == "none" else f"  [{event.features}]"
    reason = f"  {event.reason}" if event.reason else ""
    style = {"failed": "red", "pruned": "dim"}.get(event.state, "")
    place = f"trial {event.number}  {event.state} after {event.epoch}/{event.epochs}"
    return Text(
        f"{event.done:>3}/{event.trials}  {place}{value}{best}  {values(event.overrides)}{shared}{reason}", style
    )


def values(overrides: Mapping[str, object]) -> str:
    """Return the values of a trial in short: `unfreeze 3, lr_decay 0.62`."""
    words = {key: f"{value:.3g}" if isinstance(value, float) else str(value) for key, value in overrides.items()}
    return ", ".join(f"{key.rpartition('.')[2]} {word}" for key, word in words.items())


def position(step: Step) -> str:
    """Return the position of a step: `epoch 2/12  step 31/60`."""
    return f"epoch {step.epoch}/{step.epochs}  step {step.step}/{step.steps}"


def status(step: Step) -> str:
    """Return speed, loss, learning rates and the training stage."""
    return f"{step.images_per_s:,.0f} images/s  loss {step.loss:.3f}  lr {rates(step.rates)}  [{step.stage}]"


def rates(by_group: Mapping[str, float]) -> str:
    """Return the learning rates of the head and of the top and bottom stage: `head 1e-3, stages 1e-4 … 3.6e-5`."""
    head = [f"head {rate(by_group['head'])}"] if "head" in by_group else []
    stages = sorted((value for name, value in by_group.items() if name != "head"), reverse=True)
    if len(stages) == 1:
        return ", ".join([*head, f"{next(name for name in by_group if name != 'head')} {rate(stages[0])}"])
    return ", ".join([*head, f"stages {rate(stages[0])} … {rate(stages[-1])}"] if stages else head)


def metrics(values: Mapping[str, float]) -> str:
    """Return the validation metrics that fit on a line."""
    names = [name for name in values if name.startswith("val/") and name != "val/seconds"][:_ON_A_LINE]
    return "  ".join(f"{metric(name).removesuffix(' accuracy')} {score(name, values[name])}" for name in names)


def _stage(event: StageOpened) -> Text:
    trainable = f"{count(event.trainable)} of {count(event.total)} parameters trainable"
    return Text.assemble(
        (f"from epoch {event.epoch}: {event.name}", "bold cyan"),
        (f"  {trainable}, lr {rates(event.rates)}", "cyan"),
    )


def _epoch(event: EpochEnded) -> Text:
    width = len(str(event.epochs))
    values = event.metrics
    loss = f"  loss {values['train/loss']:.3f}" if "train/loss" in values else ""
    took = f"  {duration(values['train/seconds'] + values.get('val/seconds', 0))}" if "train/seconds" in values else ""
    speed = f"  {values['train/images_per_s']:,.0f} images/s" if "train/images_per_s" in values else ""
    return Text.assemble(
        f"epoch {event.epoch:>{width}}/{event.epochs}",
        (loss, "dim"),
        "  val ",
        (metrics(values), "bold" if event.best else ""),
        (f"{took}{speed}", "dim"),
        ("  ★ best", "green") if event.best else (f"  (best: {event.best_epoch})", "dim"),
    )
