"""A sweep as tables: its plan with the cost, and its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from raytl.cli.lines import values
from raytl.cli.numbers import count, duration
from raytl.cli.tables import facts, table, titled

if TYPE_CHECKING:
    from raytl.search.plan import CostEstimate, SweepPlan
    from raytl.search.summary import SweepResult

_GB = 1e9


def plan_tables(plan: SweepPlan) -> list[RenderableType]:
    """Return the plan of a sweep."""
    space = table(("key", "values"))
    for key, text in plan.space:
        space.add_row(key, text)
    depths = table(
        ("unfreeze", "trainable", "per epoch", "cached", "on disk"),
        right_aligned=("unfreeze", "trainable", "per epoch", "on disk"),
    )
    for cost in plan.depths:
        disk = f"{cost.cache_bytes / 1e6:,.0f} MB" if cost.cached else ""
        cached = f"built in {duration(cost.build_s)}" if cost.cached else "no"
        depths.add_row(str(cost.depth), count(cost.trainable), duration(cost.epoch_s), cached, disk)
    images = ", ".join(f"{number:,} {split}" for split, number in plan.images.items())
    lines = [
        ("data", f"{images}; {plan.classes} classes"),
        (
            "trials",
            f"{plan.trials}" + (f", {plan.done} of them done" if plan.done else "") + f", {plan.max_epochs} epochs max",
        ),
        *([("winner", f"trained once more for {plan.refit_epochs} epochs")] if plan.refit_epochs else []),
        ("objective", ", ".join(plan.metrics)),
        ("sampler", f"{plan.sampler}, scheduler {plan.scheduler}"),
        ("earlier sweeps", plan.prior or "none"),
        *([("images", plan.measured_at)] if plan.measured_at else []),
        ("cluster", plan.arithmetic),
        ("cache", f"up to {plan.cache_bytes / _GB:.1f} GB of activations"),
        ("wall time", _cost_estimate(plan.wall_s, duration)),
        ("GPU-hours", _cost_estimate(plan.gpu_hours, lambda hours: f"{hours:.2g}"))
        if plan.cluster_gpus
        else ("GPUs", "none"),
        ("sweep", plan.folder),
    ]
    notes: list[RenderableType] = [Text(f"warning: {line}", style="yellow") for line in plan.warnings]
    return [titled("space", space), titled("cost by depth, measured over a few steps", depths), facts(lines), *notes]


def _cost_estimate(estimate: CostEstimate, formatted: Callable[[float], str]) -> str:
    low, likely, high = map(formatted, (estimate.low, estimate.likely, estimate.high))
    return f"about {likely} ({low} to {high})"


def result_tables(result: SweepResult) -> list[RenderableType]:
    """Return the result of a sweep, and the next command."""
    finalists = table(("trial", "mean", "95 % interval", "by seed"), right_aligned=("trial", "mean"))
    for one in result.replicates:
        interval = "" if one.low is None else f"{one.low:.4f} to {one.high:.4f}"
        scores = ", ".join(f"{score:.4f}" for score in one.scores)
        mark = "bold green" if one.number == result.winner_number else ""
        finalists.add_row(str(one.number), f"{one.mean:.4f}", interval, scores, style=mark)
    states = ", ".join(f"{number} {state}" for state, number in result.trials.items())
    on = "on train, scored on validation" if result.folds else "without cached features"
    refit = "" if result.refit_score is None else f"{result.refit_score:.4f}, {on}"
    lines = [
        ("trials", f"{states} in {duration(result.seconds)}"),
        *([("stop", result.stop.reason)] if result.stop else []),
        ("best", f"{result.metric} {result.best_value:.4f} by trial {result.best_number}"),
        *([("scores", result.measured_at)] if result.measured_at else []),
        ("winner", f"trial {result.winner_number}: {values(result.overrides)}"),
        ("why", result.reason),
        ("rescored", f"{result.sweep_score:.4f}, {'mean over folds' if result.folds else 'from its saved checkpoint'}"),
        ("refitted", refit),
        ("experiment", result.experiment_file),
        ("run", result.run),
        ("report", result.report),
    ]
    done = {"already finished": "already finished; --add N runs more trials"}.get(result.status, result.status)
    return [
        titled("best trials, repeated with other seeds", finalists),
        facts(lines),
        Text.assemble((done, "green"), f"; next: {result.next}"),
    ]
