"""The differences between the experiment that a sweep began with and the one of the same name now. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raytl.config.fingerprint import compared
from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.config.space import DEFAULT
from raytl.config.stored import StoredExperiment
from raytl.errors import RunError
from raytl.search.trial import epochs_of

_COMPARED = ("space", "folds", "linear_probe", "image_scale")
"""Keys of the search section that decide what a score means, beside the metric and the epochs; the others may change."""
_METRIC, _MOST_EPOCHS = "search.metric", "search.budget.max_epochs"


def sweep_differences(stored: StoredExperiment, experiment: Experiment) -> list[str]:
    """Return the keys that all trials of a sweep have in common and that differ, as lines such as `optim.name: sgd -> adamw`.

    Values of keys that the sweep searches do not count.
    """
    before, after = compared(stored.recipe, experiment)
    searched = (experiment.search.space or DEFAULT).keys()
    lines = [
        f"{key}: {before[key]} -> {after[key]}"
        for key in before
        if key in after and key not in searched and before[key] != after[key]
    ]
    then, now = _stored_search(stored), _search(experiment)
    differing = (key for key in sorted({*then, *now}) if then.get(key) != now.get(key))
    lines += [f"{key}: {then.get(key, '-')} -> {now.get(key, '-')}" for key in differing]
    return lines + [f"{key}: a key that this version of raytl does not know -> absent" for key in stored.unknown]


def another_experiment(folder: Path, differences: Sequence[str]) -> RunError:
    """Return the error for a sweep in `folder` that began with another experiment."""
    return RunError(
        f"{folder}: a sweep of another experiment; differences (there -> here):\n"
        + "\n".join(f"  {line}" for line in differences)
        + "\n  Rename this experiment, or start over with --new (the old sweep is renamed, not deleted)."
    )


def _search(experiment: Experiment) -> dict[str, Any]:
    """Return the settings of the search that are compared, by dotted key."""
    metrics = ", ".join(experiment.search.metrics)
    return _settings(experiment.search) | {_METRIC: metrics, _MOST_EPOCHS: epochs_of(experiment)}


def _stored_search(stored: StoredExperiment) -> dict[str, Any]:
    """Return the same of a stored experiment; a key that it lacks has its default."""
    metrics = map(str, _below(_METRIC, stored.settings).values())
    most_epochs = stored.settings.get(_MOST_EPOCHS, stored.recipe.train.epochs)
    values: dict[str, Any] = {_METRIC: ", ".join(metrics), _MOST_EPOCHS: most_epochs}
    defaults = _settings(SearchConfig())
    for name in _COMPARED:
        values |= _below(f"search.{name}", stored.settings) or _below(f"search.{name}", defaults)
    return values


def _settings(search: SearchConfig) -> dict[str, Any]:
    values = {name: getattr(search, name) for name in _COMPARED} | {"space": search.space or DEFAULT}
    return {key: value for key, value in _flat("search", values) if value is not None}


def _below(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {each: value for each, value in values.items() if f"{each}.".startswith(f"{key}.")}


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values in `value` by dotted key, as those of a stored experiment."""
    if isinstance(value, Mapping | list):
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _flat(f"{key}.{name}", inner)
    else:
        yield key, value
