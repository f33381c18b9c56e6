"""The importance of each dimension of a sweep: which part of reaching the best scores it explains (PED-ANOVA).

Source: Watanabe et al. 2023, https://arxiv.org/abs/2304.10255, with conditional dimensions (Optuna 5). Scores of trials that
were stopped early count as they stood: in a sweep that stops two trials of three, those that ended are too few and too alike.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, create_trial

from raytl.metrics.direction import sign
from raytl.search.record import TrialRecord

_BEST = 5
"""The fewest best scores: Optuna advises against less. They are the best tenth of 50 scores or more, and half of 10."""
MIN_TRIALS = 2 * _BEST
"""Fewer scores than these say nothing of importance."""

ROUGH_TRIALS = 30
"""Importance from fewer scores is a rough guide: a single trial can change the order."""


def importances(trials: Sequence[FrozenTrial], records: Sequence[TrialRecord], metric: str) -> dict[str, float]:
    """Return the importance of each dimension, which add up to 1, the greatest first.

    `trials` are Optuna's, with their parameters; `records` hold the score of each by number. Empty with fewer than
    `MIN_TRIALS` scores, or if nothing varies.
    """
    scores = {r.number: r.values[0] for r in records if r.values and r.state in ("complete", "pruned")}
    scored = [trial for trial in trials if math.isfinite(scores.get(trial.number, math.nan))]
    if len(scored) < MIN_TRIALS or len({scores[trial.number] for trial in scored}) < 2:
        return {}
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="maximize")
    study.add_trials(
        [
            create_trial(params=t.params, distributions=t.distributions, value=sign(metric) * scores[t.number])
            for t in scored
        ]
    )
    quantile = best_count(len(scored)) / len(scored)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises more trials
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def best_count(scores: int) -> int:
    """Return how many of so many scores are the best ones that importance explains."""
    return max(_BEST, round(scores / 10))
