"""The corners of a search space, where a contradiction shows before the sweep starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, product
from typing import Any

from raytl.config.places import winner_name
from raytl.config.schema import Experiment
from raytl.config.space import Dimension, Space, space_of
from raytl.errors import ConfigError
from raytl.search.protocol import Suggestion
from raytl.search.trial import trial_experiment, winner_experiment

_CROSSED = (
    "few.method",
    "adapt.method",
    "auxiliary.weight",
    "auxiliary.rotation",
    "train.loss",
    "train.compile",
    "transfer.unfreeze",
)
"""Keys whose values are tried in every combination: a method may need a value between the ends of another key."""
_OF_SHARED_HEAD = (
    "model.name",
    "model.weights",
    "model.channels",
    "model.stem",
    "transfer.head_first",
    "transfer.head_start",
)
"""Keys of the network whose features a shared head is solved on, and keys that it sets."""
_DEPTH = "transfer.unfreeze"
_WEIGHTS = ("auxiliary.weight", "auxiliary.rotation")
_LOSSES_WITH_RULES = ("elr", "small_loss", "focal")


def check_corners(experiment: Experiment, space: Space) -> None:
    """Check that the experiments of the trials and of the winner exist in the corners of `space`, and so everywhere between.

    Raises:
        ConfigError: a trial would contradict the experiment; it names the values that the trial would draw.
    """
    for values in corners(space):
        try:
            trial_experiment(experiment, Suggestion(0, values), probe=experiment.search.linear_probe, location=".")
            winner_experiment(experiment, values, winner_name(experiment))
        except ConfigError as error:
            raise ConfigError(_text(values, str(error))) from error


def shared_head_fault(experiment: Experiment) -> str:
    """Return which keys of the space contradict the head that is solved once for all trials; empty without one, or without
    such keys."""
    keys = [dimension.key for dimension in space_of(experiment).dimensions if dimension.key in _OF_SHARED_HEAD]
    if not keys or not experiment.search.linear_probe:
        return ""
    return (
        f"search.space: found {', '.join(keys)}, and search.linear_probe is true: all trials start from one head, solved on the "
        f"features of the experiment's network, with transfer.head_start solved and head_first 0. Remove {', '.join(keys)} "
        "from search.space, or set search.linear_probe to false"
    )


def depth_fault(space: Space, stages: int) -> str:
    """Return which unfreeze depth of the `space` is deeper than the network of so many `stages`; empty if none is, or if the
    space varies the network."""
    dimensions = {dimension.key: dimension for dimension in space.dimensions}
    depth = dimensions.get(_DEPTH)
    if depth is None or "model.name" in dimensions:
        return ""
    deepest = max((value for value in depth.choices or (depth.low, depth.high) if value != "all"), default=0)
    if deepest <= stages:
        return ""
    return (
        f"search.space: {_DEPTH}: found {deepest:g}, and the network has {stages} stages; expected at most {stages}, or all. "
        "Lower the depth"
    )


def corners(space: Space) -> Iterator[dict[str, Any]]:
    """Yield the lowest and the highest values of the space, each with every combination of the values of `_CROSSED`.

    Of values that every rule takes alike, such as weights above 0, one is combined; each of the others comes once.
    """
    crossed = [dimension for dimension in space.dimensions if dimension.key in _CROSSED]
    keys = [dimension.key for dimension in crossed]
    seen: list[dict[str, Any]] = []
    kinds = {dimension.key: _kinds(dimension) for dimension in crossed}
    others = [
        [value if key == dimension.key else kinds[key][0] for key in keys]
        for dimension in crossed
        for value in _ends(dimension)
        if value not in kinds[dimension.key]
    ]
    for end, chosen in product((0, -1), chain(product(*kinds.values()), others)):
        given, values = dict(zip(keys, chosen, strict=True)), dict[str, Any]()
        for dimension in space.active(values, _AllStages()):
            values[dimension.key] = given.get(dimension.key, _ends(dimension)[end])
        if values not in seen:
            seen.append(values)
            yield values


def _kinds(dimension: Dimension) -> tuple[Any, ...]:
    """Return the ends of a dimension, without those that every rule takes as one before them."""
    first: dict[Any, Any] = {}
    for value in _ends(dimension):
        kind = value
        if dimension.key in _WEIGHTS and not isinstance(value, str):
            kind = value > 0
        elif dimension.key == "train.loss":
            kind = value if value in _LOSSES_WITH_RULES else ""
        first.setdefault(kind, value)
    return tuple(first.values())


def _ends(dimension: Dimension) -> tuple[Any, ...]:
    """Return the choices of a dimension, or its lowest and its highest value."""
    if dimension.kind == "int":
        return int(dimension.low), int(dimension.high)
    return dimension.choices or (dimension.low, dimension.high)


def _text(values: Mapping[str, Any], problem: str) -> str:
    drawn = ", ".join(f"{key} {value}" for key, value in values.items() if key in problem)
    if not drawn:
        return problem
    return (
        f"search.space: a trial may draw {drawn}, which contradict each other or the experiment:\n{problem}\n"
        "  Take such a value out of search.space (transfer.unfreeze: {int: [1, all]} has no 0), or draw it under a condition "
        "(when: transfer.unfreeze > 0)"
    )


class _AllStages(dict[str, Any]):
    """A base in which every missing key is all stages, so that conditions on fixed keys hold."""

    def __missing__(self, key: str) -> str:
        return "all"
