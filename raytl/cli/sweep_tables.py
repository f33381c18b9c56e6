"""A sweep as tables: what it would do and cost, and how it ended."""

from __future__ import annotations

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
    """The plan for people."""
    space = table(("key", "values"))
    for key, text in plan.space:
        space.add_row(key, text)
    depths = table(
        ("unfreeze", "learns", "an epoch", "shared", "on disk"), right=("unfreeze", "learns", "an epoch", "on disk")
    )
    for cost in plan.depths:
        disk = f"{cost.cache_bytes / 1e6:,.0f} MB" if cost.cached else ""
        shared = f"built in {duration(cost.build_s)}" if cost.cached else "no"
        depths.add_row(str(cost.depth), count(cost.trainable), duration(cost.epoch_s), shared, disk)
    images = ", ".join(f"{number:,} {split}" for split, number in plan.images.items())
    lines = [
        ("data", f"{images}; {plan.classes} classes"),
        (
            "trials",
            f"{plan.trials}"
            + (f", {plan.done} of them done" if plan.done else "")
            + f", {plan.max_epochs} epochs at most",
        ),
        ("objective", ", ".join(plan.metrics)),
        ("sampler", f"{plan.sampler}, scheduler {plan.scheduler}"),
        ("cluster", plan.arithmetic),
        ("cache", f"up to {plan.cache_bytes / _GB:.1f} GB of activations"),
        ("wall time", _cost_estimate(plan.wall_s, duration)),
        ("GPU-hours", _cost_estimate(plan.gpu_hours, lambda hours: f"{hours:.2g}"))
        if plan.cluster_gpus
        else ("GPUs", "none"),
        ("sweep", plan.folder),
    ]
    notes: list[RenderableType] = [Text(f"warning: {line}", style="yellow") for line in plan.warnings]
    return [titled("space", space), titled("cost by depth, measured by a few steps", depths), facts(lines), *notes]


def _cost_estimate(cost_estimate: CostEstimate, shown: object) -> str:
    low, likely, high = (shown(value) for value in (cost_estimate.low, cost_estimate.likely, cost_estimate.high))  # type: ignore[operator]
    return f"about {likely} ({low} to {high})"


def result_tables(result: SweepResult) -> list[RenderableType]:
    """How a sweep ended, and what to do next."""
    finalists = table(("trial", "mean", "95 % interval", "by seed"), right=("trial", "mean"))
    for one in result.replicates:
        interval = "" if one.low is None else f"{one.low:.4f} to {one.high:.4f}"
        scores = ", ".join(f"{score:.4f}" for score in one.scores)
        mark = "bold green" if one.number == result.winner_number else ""
        finalists.add_row(str(one.number), f"{one.mean:.4f}", interval, scores, style=mark)
    states = ", ".join(f"{number} {state}" for state, number in result.trials.items())
    refit = "" if result.refit_score is None else f"{result.refit_score:.4f}, on fresh augmentation with nothing shared"
    lines = [
        ("trials", f"{states} in {duration(result.seconds)}"),
        ("best", f"{result.metric} {result.best_value:.4f} by trial {result.best_number}"),
        ("winner", f"trial {result.winner_number}: {values(result.overrides)}"),
        ("why", result.reason),
        ("scored again", f"{result.sweep_score:.4f}, from its checkpoint on disk"),
        ("refitted", refit),
        ("experiment", result.experiment_file),
        ("run", result.run),
        ("report", result.report),
    ]
    done = {"already finished": "this sweep is finished; --add N runs more trials"}.get(result.status, result.status)
    return [
        titled("the best trials with other seeds", finalists),
        facts(lines),
        Text.assemble((done, "green"), f"; next: {result.next}"),
    ]
