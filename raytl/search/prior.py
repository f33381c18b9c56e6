"""The trials of earlier sweeps that start a sweep: its first points and the first scores of its sampler. Pure values.

Scores are comparable only within a sweep, so each trial has its rank there, from 0 (best) to 1 (worst) (Feurer et al. 2015;
Salinas et al. 2020). `prior.json` in the sweep's folder keeps what was read at its first start, so that a resumed sweep
suggests the same trials wherever the earlier ones are by then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from raytl.config.space import Space
from raytl.errors import RunError
from raytl.run.atomic import write_json
from raytl.stored import Format
from raytl.stored.bounds import Name, at_most, matching, within

FILE = "prior.json"
MOST_SWEEPS = 20
"""Earlier sweeps that are used; of more, those on the same data and then those with the most trials."""
MOST_TRIALS = 200
"""Trials of each earlier sweep that are kept, evenly by rank."""
MOST_POINTS = 3
"""Earlier sweeps whose best trial is repeated as a first point."""
PER_OWN, MOST_WEIGHED = 2, 20
"""The sampler weighs at most this many earlier trials for each scored trial of its own, and at most the second number in all,
so that from 21 own trials on these are the majority."""
_ADVICE = "Restore the file, or start over with --new (the old sweep is renamed, not deleted)."


@dataclass(frozen=True, slots=True)
class PriorTrial:
    """A trial of an earlier sweep: its values in the present space by dotted key, and its rank among all of that sweep."""

    values: Annotated[dict[Name, int | float | str | bool | None], at_most(100, "keys")]
    rank: Annotated[float, within(0.0, 1.0)]


@dataclass(frozen=True, slots=True)
class PriorSweep:
    """An earlier sweep: its name, and its trials in the present space, best first."""

    name: Annotated[str, matching(r"[A-Za-z0-9._-]{1,100}", "letters, digits, '.', '_' and '-'")]
    trials: Annotated[tuple[PriorTrial, ...], at_most(MOST_TRIALS, "trials")]


@dataclass(frozen=True, slots=True)
class Prior:
    """The earlier sweeps of a sweep, the most relevant first; empty if none could be used."""

    sweeps: Annotated[tuple[PriorSweep, ...], at_most(MOST_SWEEPS, "sweeps")] = ()

    @property
    def digest(self) -> str:
        """Return a digest of the whole."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def text(self) -> str:
        """Return the sweeps with their numbers of trials, in words."""
        return ", ".join(f"{sweep.name} ({len(sweep.trials)})" for sweep in self.sweeps)


NO_PRIOR = Prior()
PRIOR_FORMAT = Format[Prior](Prior, "the earlier sweeps of a sweep", _ADVICE, RunError, max_bytes=8 << 20)


def load(folder: Path) -> Prior:
    """Return the prior in the sweep's folder.

    Raises:
        RunError: it is damaged.
    """
    return PRIOR_FORMAT.load(folder / FILE)


def check(prior: Prior, folder: Path, space: Space, base: Mapping[str, Any]) -> None:
    """Check that the trials of the prior in `folder` are points of the sweep's space.

    Raises:
        RunError: one is not.
    """
    for sweep in prior.sweeps:
        for trial in sweep.trials:
            if fault := space.fault(trial.values, base):
                raise RunError(f"{folder / FILE}: {sweep.name}: {fault}. {_ADVICE}")


def save(folder: Path, prior: Prior) -> None:
    """Write the prior to the sweep's folder."""
    write_json(folder / FILE, asdict(prior))


def ranked(scores: Sequence[float]) -> list[float]:
    """Return the rank of each score, where higher is better: 0 for the best, 1 for the worst; of equal ones the earlier first."""
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    last = max(1, len(scores) - 1)
    ranks = dict(zip(order, range(len(scores)), strict=True))
    return [ranks[index] / last for index in range(len(scores))]


def best_points(prior: Prior) -> list[tuple[str, dict[str, Any]]]:
    """Return the best point of each of the first earlier sweeps, with its source in words; all differ."""
    points: list[tuple[str, dict[str, Any]]] = []
    for sweep in prior.sweeps:
        if sweep.trials and sweep.trials[0].values not in [values for _, values in points]:
            points.append((f"earlier sweep: {sweep.name}", dict(sweep.trials[0].values)))
    return points[:MOST_POINTS]


def weighed(prior: Prior, own: int) -> list[PriorTrial]:
    """Return the earlier trials that a sampler weighs beside `own` scored trials: `PER_OWN` for each, `MOST_WEIGHED` at most.

    Each earlier sweep has an equal part, evenly by rank and with its best.
    """
    count = min(PER_OWN * own, MOST_WEIGHED)
    sweeps = prior.sweeps[:count]
    parts = [count // len(sweeps) + (index < count % len(sweeps)) for index in range(len(sweeps))]
    return [trial for sweep, part in zip(sweeps, parts, strict=True) for trial in evenly(sweep.trials, part)]


def evenly(trials: Sequence[PriorTrial], count: int) -> Iterator[PriorTrial]:
    """Yield at most `count` of the `trials`, at even distances from the first on."""
    count = min(count, len(trials))
    return islice((trials[index * len(trials) // count] for index in range(count)), count)
