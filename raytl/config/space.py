"""The search space as values: dimensions with bounds and conditions. Pure, without Optuna."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from raytl.config import shape
from raytl.config.problems import near_miss
from raytl.config.schema import Experiment
from raytl.config.source import scalar
from raytl.errors import ConfigError

DEFAULT: Mapping[str, Mapping[str, Any]] = {
    "transfer.unfreeze": {"int": [0, "all"]},
    "transfer.lr_decay": {"float": [0.3, 1.0], "when": "transfer.unfreeze > 1"},
    "transfer.head_lr_ratio": {"log": [1, 100], "when": "transfer.unfreeze > 0"},
    "augment.strength": {"choice": [0, 0.25, 0.5, 0.75, 1]},
    "optim.lr": {"log": [1e-4, 1e-2]},
    "optim.weight_decay": {"log": [1e-4, 3e-1]},
}
"""The space if `search.space` is null: unfreeze depth, learning rates and augmentation strength."""

KINDS = ("int", "float", "log", "choice")
_FIXED = (
    "name",
    "task",
    "data",
    "compute",
    "storage",
    "search",
    "retrain",
    "predict",
    "labels.columns",
    "labels.relabel",
    "few.fraction",
    "few.min_confidence",
    "adapt.target",
    "adapt.alpha",
    "adapt.tent",
    "warmup",
    "auxiliary.columns",
    "train.epochs",
    "train.metric",
    "train.seed",
)
_OPEN = ("data.synthetic.share",)
"""Keys below `_FIXED` that may vary."""
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WHEN = re.compile(r"\s*([a-z_0-9.]+)\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of `key` with `value`: the dimension is active only if it holds. `all` stages count as infinity."""

    key: str
    compare: str
    value: float | str

    @property
    def text(self) -> str:
        """Return the condition as it is written in the file."""
        return (
            f"{self.key} {self.compare} {self.value:g}"
            if isinstance(self.value, float)
            else (f"{self.key} {self.compare} {self.value}")
        )

    def holds(self, value: Any) -> bool:
        """Return whether the key's `value` satisfies the condition; a word is neither less nor more than a number."""
        if isinstance(self.value, float) and (value == "all" or isinstance(value, int | float)):
            return _COMPARE[self.compare](_number(value), self.value)
        return self.compare in ("==", "!=") and _COMPARE[self.compare](_is(value, str(self.value)), True)

    @property
    def is_of_switch(self) -> bool:
        """True if it compares with true, false or null."""
        return isinstance(self.value, str) and (self.value.lower() in _SWITCHES or scalar(self.value) is None)


@dataclass(frozen=True, slots=True)
class Dimension:
    """One key of the space: `int`, `float` and `log` (uniform in the logarithm) from `low` to `high`, `choice` among `choices`.

    `high` is infinite for `all`: `resolved` replaces it with the model's number of stages.
    """

    key: str
    kind: Literal["int", "float", "log", "choice"]
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()
    when: Condition | None = None

    def accepts(self, value: Any) -> bool:
        """Return whether the dimension can have this value."""
        if self.kind == "choice":
            return any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices
            )
        kinds = int if self.kind == "int" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    @property
    def text(self) -> str:
        """Return the dimension in words, for tables."""
        if self.kind == "choice":
            span = " | ".join(map(str, self.choices))
        else:
            high = "all" if math.isinf(self.high) else f"{self.high:g}"
            span = f"{self.low:g} to {high}" + (" (log)" if self.kind == "log" else "")
        return span + (f", when {self.when.text}" if self.when else "")


@dataclass(frozen=True, slots=True)
class Space:
    """Dimensions in an order in which every condition refers to an earlier one, or to a fixed key."""

    dimensions: tuple[Dimension, ...]

    def active(self, values: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[Dimension]:
        """Yield the dimensions whose conditions hold for `values`, and for `base` if a key does not vary.

        `values` may grow during the iteration: a condition is evaluated when its dimension is reached.
        """
        keys = {dimension.key for dimension in self.dimensions}
        for dimension in self.dimensions:
            when = dimension.when
            if when is None:
                yield dimension
            elif when.key not in keys:
                if when.holds(base[when.key]):
                    yield dimension
            elif when.key in values and when.holds(values[when.key]):
                yield dimension

    def fault(self, values: Mapping[str, Any], base: Mapping[str, Any]) -> str:
        """Return why `values` (by dotted key) are not a point of the space; empty if they are."""
        dimensions = {dimension.key: dimension for dimension in self.dimensions}
        for key, value in values.items():
            if key not in dimensions:
                return f"{key}: not a key of the search space; expected {', '.join(dimensions)}"
            if not dimensions[key].accepts(value):
                return f"{key}: found {value!r:.100}; expected {dimensions[key].text}"
        idle = values.keys() - {dimension.key for dimension in self.active(values, base)}
        idle -= {
            d.key for d in self.dimensions if d.when and d.when.is_of_switch
        }  # `!= false` once held for every value
        return f"{min(idle)}: given, and its condition does not hold" if idle else ""

    def resolved(self, stages: int) -> Space:
        """Return the space with `all` as a number of stages."""
        return Space(tuple(replace(d, high=float(stages)) if math.isinf(d.high) else d for d in self.dimensions))

    def record(self) -> dict[str, str]:
        """Return the space as text by key, to compare two spaces."""
        return {dimension.key: f"{dimension.kind}: {dimension.text}" for dimension in self.dimensions}


def space_of(experiment: Experiment) -> Space:
    """Return the space of `search.space`, or the default one without the parts that the experiment switches off.

    Raises:
        ConfigError: every problem of the space.
    """
    space, problems = read(experiment)
    if problems:
        raise ConfigError("search.space: " + "\n  ".join(problems))
    return space


def word_faults(experiment: Experiment) -> Iterator[str]:
    """Yield a line for each condition that compares a key with a word that the key can never have."""
    dimensions = {dimension.key: dimension for dimension in read(experiment)[0].dimensions}
    for dimension in dimensions.values():
        when = dimension.when
        if when is None or isinstance(when.value, float):
            continue
        searched = dimensions.get(when.key)
        values = _fixed_values(when.key) if searched is None else searched.choices
        if values is None or any(_is(value, when.value) for value in values):
            continue
        if searched is None:
            expected = shape.expectation(when.key.split("."))
        else:
            expected = (
                " | ".join(map(str, searched.choices)) or "a comparison with a number, as the space gives it numbers"
            )
        yield f"search.space: {dimension.key}: when: {when.text}: {when.key} is never {when.value}; expected {expected}"


def _fixed_values(key: str) -> Sequence[Any] | None:
    """Return the words, switches and null that a key may have which no trial varies; None if it takes any text."""
    path = key.split(".")
    if shape.accepts_any_text(path):
        return None
    switches = (True, False) if shape.accepts_switch(path) else ()
    return [*shape.choices_at(path), *switches, *([None] if shape.accepts_type(path, "null") else [])]


def read(experiment: Experiment) -> tuple[Space, list[str]]:
    """Return the space and its problems, one line each."""
    given = experiment.search.space
    dimensions, problems = [], []
    for key, value in (DEFAULT if given is None else given).items():
        try:
            dimensions.append(_dimension(key, value))
        except ValueError as error:
            problems.append(f"{key}: {error}")
    keys = {dimension.key for dimension in dimensions}
    for dimension in dimensions:
        when = dimension.when
        if when and when.key not in keys and when.key not in shape.all_keys():
            problems.append(f"{dimension.key}: when: {_unknown(when.key)}")
    if problems:
        return Space(()), problems
    ordered = _ordered(dimensions)
    if ordered is None:
        return Space(()), ["the conditions are circular; remove `when` from one key"]
    return Space(ordered), []


def _dimension(key: str, value: Mapping[str, Any]) -> Dimension:
    """Return one entry of the space. Raises a ValueError with the problem."""
    node = shape.node_at(key.split("."))
    if node is None or shape.keys_of(key.split(".")):
        raise ValueError(_unknown(key))
    if key not in _OPEN and any(key == fixed or key.startswith(f"{fixed}.") for fixed in _FIXED):
        raise ValueError("this key is the same for all trials; a sweep cannot vary it")
    kinds = [kind for kind in KINDS if kind in value]
    strange = [word for word in value if word not in (*KINDS, "when")]
    if strange or len(kinds) != 1:
        names = ", ".join(value) or "nothing"
        raise ValueError(f"found {names}; expected one of int, float, log, choice (and `when`)")
    when = _condition(key, value["when"]) if "when" in value else None
    kind, given = kinds[0], value[kinds[0]]
    if kind == "choice":
        return Dimension(key, "choice", choices=_choices(key, given), when=when)
    low, high = _bounds(key, kind, given)
    return Dimension(key, kind, low, high, when=when)  # type: ignore[arg-type]


def _choices(key: str, given: Any) -> tuple[Any, ...]:
    if not isinstance(given, list) or not given:
        raise ValueError(f"choice: found {given!r}, expected a list of one value or more")
    if any(isinstance(value, list | dict) for value in given):
        raise ValueError("choice: a value is a list or a section; expected numbers, words, true or false")
    if len(set(map(repr, given))) < len(given):
        raise ValueError(f"choice: {given} lists a value twice")
    return tuple(given)


def _bounds(key: str, kind: str, given: Any) -> tuple[float, float]:
    if not isinstance(given, list) or len(given) != 2:
        raise ValueError(f"{kind}: found {given!r}, expected [low, high]")
    low, high = given
    if high == "all" and key == "transfer.unfreeze" and kind == "int":
        high = math.inf
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise ValueError(f"{kind}: found {bound!r}, expected a number{_dotless(bound)}")
        if kind == "int" and not math.isinf(bound) and bound != int(bound):
            raise ValueError(f"int: found {bound!r}, expected whole numbers")
    if low >= high:
        raise ValueError(f"{kind}: [{low:g}, {high:g}] is empty; expected the lower bound first, and a higher one")
    if kind == "log" and low <= 0:
        raise ValueError(f"log: the lower bound is {low:g}, expected more than 0")
    path = key.split(".")
    if kind != "int" and not shape.accepts_type(path, "number"):
        raise ValueError(f"{kind}: {key} takes {shape.expectation(path)}; use int or choice")
    if kind == "int" and not (shape.accepts_type(path, "integer") or shape.accepts_type(path, "number")):
        raise ValueError(f"int: {key} takes {shape.expectation(path)}; use choice")
    return float(low), float(high)


def _dotless(bound: Any) -> str:
    """Return the advice for a number in quotes; empty for other text."""
    try:
        float(bound)
    except (TypeError, ValueError):
        return ""
    return " without quotes"


def _condition(key: str, text: Any) -> Condition:
    match = _WHEN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"when: found {text!r}, expected a comparison such as transfer.unfreeze > 0")
    if match[1] == key:
        raise ValueError("when: a key cannot be its own condition")
    value = match[3]
    try:
        return Condition(match[1], match[2], float(value))
    except ValueError:
        if match[2] not in ("==", "!="):
            raise ValueError(f"when: {value!r} is not a number; words are compared with == and !=") from None
        return Condition(match[1], match[2], value)


def _unknown(key: str) -> str:
    near = near_miss(key, shape.all_keys()) or near_miss(
        key.rpartition(".")[2], [candidate.rpartition(".")[2] for candidate in shape.all_keys()]
    )
    full = next(
        (candidate for candidate in shape.all_keys() if near in (candidate, candidate.rpartition(".")[2])), None
    )
    return f"{key} is not a key of an experiment" + (f"; did you mean {full}?" if full else "")


def _ordered(dimensions: list[Dimension]) -> tuple[Dimension, ...] | None:
    keys, rest = {d.key for d in dimensions}, list(dimensions)
    placed: list[Dimension] = []
    while rest:
        done = {d.key for d in placed}
        ready = [d for d in rest if d.when is None or d.when.key not in keys or d.when.key in done]
        if not ready:
            return None
        placed.append(ready[0])
        rest.remove(ready[0])
    return tuple(placed)


def _is(value: Any, word: str) -> bool:
    """Return whether `word` means `value`, as in an experiment file: true, yes and on are one value, null is None."""
    if isinstance(value, bool):
        return _SWITCHES.get(word.lower()) is value
    return str(value) == word or (value is None and scalar(word) is None)


def _number(value: Any) -> float:
    return math.inf if value == "all" else float(value)
