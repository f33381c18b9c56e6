"""Read the sweeps that `search.prior` names, as data: `study.log` line by line, or `study.db`, within bounds and without Optuna.

Nothing that is read chooses an address, a path or a limit; of a trial only values count that lie in the present space. Sweeps
of another task, model or objective are left out: their depths, rates and scores mean something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from raytl.config.space import Dimension, Space
from raytl.errors import RaytlError, RunError, first_line
from raytl.metrics.direction import sign
from raytl.run.place import Place, places
from raytl.search.prior import MOST_SWEEPS, MOST_TRIALS, Prior, PriorSweep, PriorTrial, evenly, ranked
from raytl.search.record import ATTRIBUTES_FORMAT
from raytl.search.sqlite_study import journal_of
from raytl.search.summary import TOTAL
from raytl.store.s3_settings import S3Settings
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, at_most, within
from raytl.uris import is_remote

STUDY, DATABASE = "study.log", "study.db"
MOST_READ = 200
"""Sweeps that are read at most, over all locations."""
MOST_BYTES = 32 << 20
_MOST_LINES = 500_000
_MOST_SCORED = 10_000
_MOST_NAMED = 5
_SET_STUDY, _SET_STATE, _SET_TRIAL = 2, 6, 8
"""Optuna's codes of the journal's lines that count here: an attribute of the study, the state and an attribute of a trial."""
_ENDED = (1, 2)
"""Optuna's codes of the states complete and pruned."""
_Attributes = Annotated[dict[Name, Any], at_most(100, "attributes")]


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of Optuna's journal; every other key is ignored."""

    op_code: Annotated[int, within(0, 1000)]
    trial_id: Count | None = None
    state: Annotated[int, within(0, 1000)] | None = None
    user_attr: _Attributes = field(default_factory=dict)


LINE_FORMAT = Format[_Line](
    _Line,
    "a line of a study",
    "The study was damaged or edited.",
    RunError,
    max_bytes=1 << 20,
    max_total_bytes=MOST_BYTES,
)


@dataclass(frozen=True)
class Wanted:
    """The conditions that a sweep sets for earlier ones: its `space`, `base` and `stages`, and the values of `same` that they must share.

    Those with the same `dataset` come first. `own` is the sweep's own URI, which is left out.
    """

    space: Space
    base: Mapping[str, Any]
    stages: int
    metric: str
    same: Mapping[str, str]
    dataset: str
    own: str


@dataclass(frozen=True)
class Earlier:
    """The prior that was read, and what to say about it in lines: what is used, and what is not and why."""

    prior: Prior
    used: str
    unused: str


@dataclass(frozen=True)
class Study:
    """A sweep as stored: its trials' scores (higher is better) and values, and what all of them have in common."""

    name: str
    fixed: Mapping[str, str]
    trials: Sequence[tuple[float, Mapping[str, Any]]]


def earlier_sweeps(locations: Sequence[str], s3: S3Settings, wanted: Wanted) -> Earlier:
    """Return the sweeps at or below `locations` (folders or s3:// URIs) that suit the sweep, as a prior.

    Raises:
        RunError: a location is no folder.
        StoreError: a bucket cannot be read.
    """
    candidates = list(islice(_sweeps_at(locations, s3, wanted.own), MOST_READ + 1))
    unused = [f"all after the first {MOST_READ}"] if len(candidates) > MOST_READ else []
    studies: list[Study] = []
    for place in candidates[:MOST_READ]:
        study = _study(place, wanted)
        if isinstance(study, str):
            unused.append(f"{_name(place)} ({study})")
        else:
            studies.append(study)
    studies.sort(key=lambda study: (study.fixed.get("dataset") != wanted.dataset, -len(study.trials), study.name))
    sweeps = [sweep for study in studies if (sweep := points_within(study, wanted)).trials]
    outside = [
        f"{study.name} ({lost} of {len(study.trials)} trials are outside this space)"
        for study in studies
        if (lost := sum(_point(values, study, wanted) is None for _, values in study.trials))
    ]
    prior = Prior(tuple(sweeps[:MOST_SWEEPS]))
    return Earlier(prior, prior.text, _listed([*outside, *unused, *(s.name for s in sweeps[MOST_SWEEPS:])]))


def _sweeps_at(locations: Iterable[str], s3: S3Settings, own: str) -> Iterator[Place]:
    """Yield each sweep once, without the sweep at `own`."""
    seen = {_resolved(own)}
    for location in locations:
        for place in places(location, s3):
            uri = _resolved(place.uri)
            if uri not in seen and place.names & {STUDY, DATABASE, TOTAL}:
                seen.add(uri)
                yield place


def _resolved(uri: str) -> str:
    return uri.rstrip("/") if is_remote(uri) else str(Path(uri.removeprefix("file://")).resolve())


def _name(place: Place) -> str:
    """Return the folder's name in plain characters: it may come from anywhere."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", place.uri.rstrip("/").rpartition("/")[2])[-100:] or "_"


def _study(place: Place, wanted: Wanted) -> Study | str:
    """Return the sweep at `place`, or the reason why it is not used."""
    if not place.names & {STUDY, DATABASE}:
        return "its study is in a database elsewhere; use search.storage: journal or sqlite for sweeps that others start from"
    try:
        study = read_study(_journal(place), _name(place), wanted.metric)
    except RaytlError as error:
        return f"unreadable: {first_line(error)}"[:200]
    for key, value in {"metric": wanted.metric, **wanted.same}.items():
        if (other := study.fixed.get(key, "").split(", ")[0]) != value:
            return f"{key} {other[:60] or 'unknown'}"
    return study if study.trials else "no trial has a score"


def _journal(place: Place) -> bytes:
    """Return the lines of the study at `place`.

    Raises:
        RunError: it is damaged.
        StoreError: it cannot be read.
    """
    if STUDY in place.names:
        return place.content(STUDY, MOST_BYTES)
    content, where = place.content(DATABASE, MOST_BYTES), f"{_name(place)}/{DATABASE}"
    if len(content) > MOST_BYTES:
        raise RunError(f"{where}: more than {MOST_BYTES:,} bytes; expected a study. Name another folder.")
    return journal_of(content, where)


def read_study(content: bytes, name: str, metric: str) -> Study:
    """Return the sweep in a journal of Optuna that raytl wrote: its ended trials with a score, higher is better.

    Raises:
        RunError: it is damaged, or beyond the bounds.
    """
    fixed: dict[str, str] = {}
    states: dict[int, int] = {}
    attributes: dict[int, dict[str, Any]] = {}
    if content.count(b"\n") > _MOST_LINES:
        raise RunError(f"{name}: more than {_MOST_LINES:,} lines; expected a study. Name another folder.")
    whole = content[: content.rfind(b"\n") + 1]  # a last line without its newline is being written
    for line in LINE_FORMAT.lines(whole, f"{name}/{STUDY}"):
        if line.op_code == _SET_STUDY and isinstance(common := line.user_attr.get("raytl"), dict):
            fixed = {str(key): str(value) for key, value in common.items()}
        elif line.trial_id is not None and line.op_code == _SET_STATE and line.state is not None:
            states[line.trial_id] = line.state
        elif line.trial_id is not None and line.op_code == _SET_TRIAL:
            attributes.setdefault(line.trial_id, {}).update(line.user_attr)
    ended = [attributes[trial] for trial in sorted(attributes) if states.get(trial) in _ENDED]
    scored = [scored for each in ended[:_MOST_SCORED] if (scored := _scored(each, name, metric)) is not None]
    return Study(name, fixed, scored)


def _scored(attributes: Mapping[str, Any], name: str, metric: str) -> tuple[float, Mapping[str, Any]] | None:
    """Return the score and the values of a trial; None if it has none."""
    if "overrides" not in attributes or "best" not in attributes:
        return None
    stored = {key: attributes[key] for key in ("overrides", "best")}
    trial = ATTRIBUTES_FORMAT.typed(stored, f"{name}/{STUDY}")
    if not trial.best or not math.isfinite(trial.best[0]):
        return None
    return sign(metric) * trial.best[0], trial.overrides


def points_within(study: Study, wanted: Wanted) -> PriorSweep:
    """Return the sweep with the trials that lie in the present space, best first."""
    ranks = ranked([score for score, _ in study.trials])
    points = [_point(values, study, wanted) for _, values in study.trials]
    trials = [PriorTrial(point, rank) for point, rank in zip(points, ranks, strict=True) if point is not None]
    return PriorSweep(study.name, tuple(evenly(sorted(trials, key=lambda trial: trial.rank), MOST_TRIALS)))


def _point(overrides: Mapping[str, Any], study: Study, wanted: Wanted) -> dict[str, Any] | None:
    """Return a trial's values in the present space; a key that the earlier sweep did not vary has the value that it had
    there. None if one is outside or unknown."""
    values: dict[str, Any] = {}
    for dimension in wanted.space.active(values, wanted.base):
        if dimension.key in overrides:
            value = overrides[dimension.key]
        else:
            value = _parsed(dimension, study.fixed.get(dimension.key, ""), wanted.stages)
        if not dimension.accepts(value):
            return None
        values[dimension.key] = float(value) if dimension.kind in ("float", "log") else value
    return values


def _parsed(dimension: Dimension, text: str, stages: int) -> Any:
    """Return the value that a study holds as text for a key that it does not vary; None if it is none of the dimension."""
    if dimension.kind == "choice":
        return next((choice for choice in dimension.choices if str(choice) == text), None)
    if text == "all":
        return stages
    try:
        return int(text) if dimension.kind == "int" else float(text)
    except ValueError:
        return None


def _listed(reasons: Sequence[str]) -> str:
    more = len(reasons) - _MOST_NAMED
    return ", ".join(reasons[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
