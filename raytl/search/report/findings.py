"""Findings of a sweep, as sentences that its trials support."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from raytl.metrics.direction import lower_is_better
from raytl.search.importance import ROUGH_TRIALS
from raytl.search.record import TrialRecord, best_first

_MIN_TRIALS = 5
_MIN_IMPORTANCE = 0.1


def findings(
    records: Sequence[TrialRecord], metric: str, stages: int, importances: Mapping[str, float], noise: float | None
) -> list[str]:
    """Return sentences on depth, learning rates and augmentation. `noise` is the standard deviation over seeds, if known."""
    scored = best_first([r for r in records if r.state in ("complete", "pruned")], metric)
    if len(scored) < _MIN_TRIALS:
        return [f"Only {len(scored)} trial(s) have a score: too few for findings."]
    sentences = [_depth(scored, metric, stages, noise)]
    sentences += _chosen(scored, "augment.strength", "augmentation strength")
    sentences += _chosen(scored, "optim.lr", "head learning rate")
    if importances:
        top = max(importances, key=lambda key: importances[key])
        minor = [key for key, value in importances.items() if value < _MIN_IMPORTANCE and key != top]
        is_rough = len(scored) < ROUGH_TRIALS
        note = f", a rough guide from {len(scored)} trials" if is_rough else ""
        sentences.append(
            f"{top} mattered most (importance {importances[top]:.0%}{note})"
            + (f"; {', '.join(minor)} hardly mattered." if minor and not is_rough else ".")
        )
    return [sentence for sentence in sentences if sentence]


def _depth(scored: Sequence[TrialRecord], metric: str, stages: int, noise: float | None) -> str:
    by_depth: dict[int, float] = {}
    for record in scored:  # best first
        depth = record.overrides.get("transfer.unfreeze")
        if depth is not None:
            by_depth.setdefault(stages if depth == "all" else int(depth), (record.values or (0.0,))[0])
    if len(by_depth) < 2:
        return ""
    best = next(iter(by_depth))
    sentence = f"The best trial unfreezes {_stages(best, stages)} ({metric} {by_depth[best]:.4f})"
    if 0 in by_depth and best != 0:
        loss = abs(by_depth[best] - by_depth[0])
        direction = "higher" if lower_is_better(metric) else "lower"
        sentence += f"; training only the head is {loss:.4f} {direction}"
        if noise is not None:
            sentence += ", within" if loss <= noise else ", beyond"
            sentence += f" the noise over seeds ({noise:.4f})"
    return sentence + "."


def _stages(depth: int, stages: int) -> str:
    if depth == 0:
        return "only the head"
    return f"all {stages} stages" if depth >= stages else f"the top {depth} of {stages} stages"


def _chosen(scored: Sequence[TrialRecord], key: str, name: str) -> list[str]:
    """Return a sentence on the values of the best third of the trials."""
    values = [float(r.overrides[key]) for r in scored if isinstance(r.overrides.get(key), int | float)]
    if len(values) < 2 * _MIN_TRIALS:
        return []
    top, low, high = values[: len(values) // 3], min(values), max(values)
    if high <= low:
        return []
    return [
        f"The best third of the trials has a median {name} of {statistics.median(top):.3g} (range tried: {low:.3g} to {high:.3g})."
    ]
