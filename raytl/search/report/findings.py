"""What a sweep found, in sentences that its trials support and no more."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from raytl.search.record import TrialRecord, best_first, lower_is_better

_LEAST = 5
_MATTERS = 0.1


def findings(
    records: Sequence[TrialRecord], metric: str, stages: int, importances: Mapping[str, float], noise: float | None
) -> list[str]:
    """Sentences on depth, rates and augmentation. `noise` is the spread of one recipe over seeds, where it is known."""
    scored = best_first([r for r in records if r.state in ("complete", "pruned")], metric)
    if len(scored) < _LEAST:
        return [f"Only {len(scored)} trial(s) came to a score: too few to tell what matters."]
    found = [_depth(scored, metric, stages, noise)]
    found += _chosen(scored, "augment.strength", "augmentation strength")
    found += _chosen(scored, "optim.lr", "the head's rate")
    if importances:
        most = max(importances, key=lambda key: importances[key])
        idle = [key for key, share in importances.items() if share < _MATTERS and key != most]
        found.append(
            f"{most} mattered most ({importances[most]:.0%} of what was explained)"
            + (f"; {', '.join(idle)} hardly mattered." if idle else ".")
        )
    return [sentence for sentence in found if sentence]


def _depth(scored: Sequence[TrialRecord], metric: str, stages: int, noise: float | None) -> str:
    by_depth: dict[int, float] = {}
    for record in scored:  # best first
        depth = record.overrides.get("transfer.unfreeze")
        if depth is not None:
            by_depth.setdefault(stages if depth == "all" else int(depth), (record.values or (0.0,))[0])
    if len(by_depth) < 2:
        return ""
    best = next(iter(by_depth))
    sentence = f"The best trial opens {_stages(best, stages)} ({metric} {by_depth[best]:.4f})"
    if 0 in by_depth and best != 0:
        loss = abs(by_depth[best] - by_depth[0])
        direction = "higher" if lower_is_better(metric) else "lower"
        sentence += f"; training the head alone is {loss:.4f} {direction}"
        if noise is not None:
            sentence += ", within" if loss <= noise else ", beyond"
            sentence += f" the noise over seeds ({noise:.4f})"
    return sentence + "."


def _stages(depth: int, stages: int) -> str:
    if depth == 0:
        return "nothing but the head"
    return f"all {stages} stages" if depth >= stages else f"the top {depth} of {stages} stages"


def _chosen(scored: Sequence[TrialRecord], key: str, name: str) -> list[str]:
    """Where the better third of the trials lies, against all."""
    values = [float(r.overrides[key]) for r in scored if isinstance(r.overrides.get(key), int | float)]
    if len(values) < 2 * _LEAST:
        return []
    top, low, high = values[: len(values) // 3], min(values), max(values)
    if high <= low:
        return []
    return [
        f"The better third of the trials has {name} around {statistics.median(top):.3g} (tried: {low:.3g} to {high:.3g})."
    ]
