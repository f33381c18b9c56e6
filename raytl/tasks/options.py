"""The options that each task can apply, as one table; all others are rejected at once, in the experiment and in its search space.

Metrics are checked where the defaults of a task are filled in (`raytl.tasks.defaults`), as every task lists its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from raytl.config import space
from raytl.config.adapt import ADABN, IN_TRAINING
from raytl.config.schema import Experiment
from raytl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Rule:
    """A key of the experiment, the values that the task can apply, and what to do with another."""

    key: str
    accepted: tuple[Any, ...]
    advice: str

    def accepts(self, value: Any) -> bool:
        """Return True if the task can apply `value`."""
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.accepted)


_ONE_CLASS = "it needs one class an image"
_NO_LABEL_NOISE = (
    Rule("labels.noise", ("none",), f"{_ONE_CLASS}; set it to none"),
    Rule("labels.relabel", (None,), f"{_ONE_CLASS}; leave it out"),
    Rule("labels.columns", ([],), f"{_ONE_CLASS}; leave it out"),
)
_NO_FEW = Rule("few.method", ("none",), f"{_ONE_CLASS}; set it to none")
_NO_ADAPT = Rule("adapt.method", ("none",), f"{_ONE_CLASS}; set it to none")
_MANY_LABELS = (
    *_NO_LABEL_NOISE,
    Rule("warmup.method", ("none", "simclr"), f"supcon draws the images of a class together: {_ONE_CLASS}"),
    _NO_FEW,
    Rule("adapt.method", ("none", *IN_TRAINING, ADABN), "the others need one class an image; set it to none"),
    Rule("train.sampler", ("shuffle",), f"{_ONE_CLASS}; set train.class_weights to balanced instead"),
    Rule("augment.mixup", (0,), f"{_ONE_CLASS}: a mixed image has the labels of both; set it to 0"),
    Rule("augment.cutmix", (0,), f"{_ONE_CLASS}: the patch may not show what the label says; set it to 0"),
)
_OWN_HEAD = "its head reads maps, and not one row of features an image"
_OWN_LOSS = "this task has a loss of its own"
_DENSE = (
    *_NO_LABEL_NOISE,
    _NO_FEW,
    _NO_ADAPT,
    Rule("warmup.method", ("none",), "it warms up features of a whole image; set it to none"),
    Rule("auxiliary.columns", ([],), f"{_OWN_HEAD}; leave it out"),
    Rule("auxiliary.rotation", (0,), f"{_OWN_HEAD}; set it to 0"),
    Rule("train.loss", ("cross_entropy",), f"{_OWN_LOSS}; leave it out"),
    Rule("train.label_smoothing", (0,), f"{_OWN_LOSS}; set it to 0"),
    Rule("train.class_weights", ("none",), f"{_OWN_LOSS}; set it to none"),
    Rule("train.sampler", ("shuffle",), f"{_ONE_CLASS}; set it to shuffle"),
    Rule("train.compile", (False,), "targets enter its network, which is not compiled; leave it out"),
    Rule("augment.mixup", (0,), "boxes and masks cannot be mixed; set it to 0"),
    Rule("augment.cutmix", (0,), "boxes and masks cannot be mixed; set it to 0"),
    Rule("transfer.head_start", ("zero", "weights"), "its head has no closed form; set it to zero"),
    Rule("search.linear_probe", (False,), "its head has no closed form; set it to false"),
)
RULES: Mapping[str, Sequence[Rule]] = {
    "classification": (
        Rule(
            "train.loss",
            ("cross_entropy", "focal", "gce", "elr", "small_loss"),
            "asymmetric is for several labels an image (task: multilabel)",
        ),
    ),
    "multilabel": (
        *_MANY_LABELS,
        Rule("train.loss", ("cross_entropy", "focal", "asymmetric"), f"{_ONE_CLASS}; set it to cross_entropy"),
    ),
    "segmentation": _DENSE,
    "detection": _DENSE,
    "instances": _DENSE,
}
"""The options that a task of raytl cannot apply in full; it can apply all others."""


def check(experiment: Experiment, rules: Sequence[Rule]) -> None:
    """Reject values of `experiment` and of its search space that `rules` do not accept.

    Raises:
        ConfigError: with a line for each, its key, what was found and what to do.
    """
    problems = [*_wrong_values(experiment, rules), *_wrong_choices(experiment, rules)]
    if problems:
        raise ConfigError("\n".join(problems))


def _wrong_values(experiment: Experiment, rules: Sequence[Rule]) -> Iterator[str]:
    for rule in rules:
        value = reduce(getattr, rule.key.split("."), experiment)
        if not rule.accepts(value):
            yield f"{rule.key}: found {value!r}; {_expected(experiment, rule)}"


def _wrong_choices(experiment: Experiment, rules: Sequence[Rule]) -> Iterator[str]:
    """Yield the problems of the dimensions of the search space; a range of numbers is never accepted."""
    by_key = {rule.key: rule for rule in rules}
    for dimension in space.read(experiment)[0].dimensions:
        rule = by_key.get(dimension.key)
        if rule is None:
            continue
        wrong = [value for value in dimension.choices if not rule.accepts(value)]
        if wrong or dimension.kind != "choice":
            values = ", ".join(map(repr, wrong)) or dimension.text
            yield f"search.space: {rule.key}: found {values}; {_expected(experiment, rule)}"


def _expected(experiment: Experiment, rule: Rule) -> str:
    return (
        f"{experiment.task} expects {' or '.join(map(str, rule.accepted))}. {rule.advice[0].upper()}{rule.advice[1:]}."
    )
