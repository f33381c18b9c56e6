"""The sampler of the next trial: a draw near the experiment's values first, then a model of the trials' ranks.

TPE and GP model every scored trial by its rank, stopped ones as they stood, together with trials of earlier sweeps. Optuna's
own TPE ranks every complete trial above every stopped one, so that in a sweep with pruning a linear probe, which always
completes, would count as good whatever its score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from raytl.config.search import SearchConfig
from raytl.config.space import Space
from raytl.metrics.direction import sign
from raytl.search import suggest
from raytl.search.grid import PointKey, grid_points, is_grid, point_key
from raytl.search.near import nearby
from raytl.search.prior import Prior, best_points, ranked, weighed

MOST_OWN = 300
"""Own trials that are modeled at most, so that a suggestion takes the same time after a thousand trials."""
_EDGE = 0.02
_OWN_FIRST = 1e-6
"""Added to own scores: of equal ranks, that of this sweep's own data counts more."""
_Point = Mapping[str, Any]


@dataclass(frozen=True)
class Guide:
    """The values that suggestions follow from besides the study: the search, its space, the experiment `base` by dotted key with a
    model of `stages`, and the earlier sweeps."""

    search: SearchConfig
    space: Space
    base: _Point
    stages: int
    prior: Prior

    def first_points(self) -> list[suggest.Point]:
        """Return the points of the first trials, with their sources: recipes, the experiment as it is, earlier sweeps."""
        recipes = suggest.first_points(self.space, self.base, self.stages) if self.search.recipes else []
        return suggest.with_earlier(recipes, best_points(self.prior), self.search.trials)

    @cached_property
    def grid(self) -> tuple[PointKey, ...] | None:
        """The points of a grid, each of which is suggested once; None with every other sampler."""
        return grid_points(self.space, self.base, self.search.seed) if is_grid(self.search.sampler) else None

    def sampler(self, study: optuna.Study, number: int, seed: int) -> BaseSampler:
        """Return the sampler of trial `number`, which follows from the study and the `seed`.

        Draws are near the experiment's values until `suggest.STARTUP` trials are scored, those of earlier sweeps among them.
        Samplers other than TPE and GP, and several objectives, are left to Optuna.
        """
        if self.grid is not None:
            return _Fixed(_next_point(self.grid, study))
        plain = suggest.sampler(self.search.sampler, seed, self.space)
        if not suggest.is_model(plain) or len(self.search.metrics) > 1:
            return plain
        trials = study.get_trials(deepcopy=False)
        own = list(self.scored(study))
        earlier = weighed(self.prior, len(own))
        if len(own) + len(earlier) < suggest.STARTUP:
            center = suggest.center(self.space, self.base, self.stages)
            return _Fixed(nearby(self.space, self.base, center, number, seed))
        memory = optuna.create_study(storage=optuna.storages.InMemoryStorage(), sampler=plain, direction="maximize")
        memory.add_trials([*(_earlier(trial.values, trial.rank, self.space) for trial in earlier), *own])
        memory.add_trials([_running(trial) for trial in trials if trial.state == TrialState.RUNNING and trial.params])
        return _Fixed(suggest.suggest(memory.ask(), self.space, self.base))

    def scored(self, study: optuna.Study) -> Iterator[FrozenTrial]:
        """Yield the scored trials of the sweep, stopped ones too, each with the score of its rank; at most `MOST_OWN`."""
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        scored = [trial for trial in ended if trial.user_attrs.get("best")]
        ranks = ranked([sign(self.search.metrics[0]) * trial.user_attrs["best"][0] for trial in scored])
        for trial, rank in _thinned(list(zip(scored, ranks, strict=True))):
            yield create_trial(params=trial.params, distributions=trial.distributions, value=_score(rank) + _OWN_FIRST)


def _next_point(grid: tuple[PointKey, ...], study: optuna.Study) -> _Point:
    """Return the first point of the grid that no trial has."""
    trials = study.get_trials(deepcopy=False)
    suggested = {point_key(trial.user_attrs["overrides"]) for trial in trials if "overrides" in trial.user_attrs}
    return dict(next(point for point in grid if point not in suggested))


class _Fixed(BaseSampler):
    """Suggests one given point."""

    def __init__(self, point: _Point) -> None:
        self._point = point

    def infer_relative_search_space(self, *_: Any) -> dict[str, Any]:
        """Return no dimensions: each is sampled by itself."""
        return {}

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, *_: Any) -> Any:
        """Return the point's value."""
        return self._point[param_name]


def _thinned(ranked_trials: list[tuple[FrozenTrial, float]]) -> list[tuple[FrozenTrial, float]]:
    """Return at most `MOST_OWN` of the trials: the best third, and of the rest those at even distances by rank."""
    if len(ranked_trials) <= MOST_OWN:
        return ranked_trials
    by_rank = sorted(ranked_trials, key=lambda each: each[1])
    best, rest = by_rank[: MOST_OWN // 3], by_rank[MOST_OWN // 3 :]
    count = MOST_OWN - len(best)
    retained = [*best, *(rest[index * len(rest) // count] for index in range(count))]
    return sorted(retained, key=lambda each: each[0].number)


def _earlier(values: _Point, rank: float, space: Space) -> FrozenTrial:
    distributions = {d.key: suggest.distribution(d) for d in space.dimensions if d.key in values}
    return create_trial(params=dict(values), distributions=distributions, value=_score(rank))


def _running(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial that runs, from which the next one keeps away."""
    return create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)


def _score(rank: float) -> float:
    """Return a rank as a score with a normal distribution (Salinas et al. 2020), which the GP expects; higher is better."""
    return -NormalDist().inv_cdf(min(max(rank, _EDGE), 1 - _EDGE))
