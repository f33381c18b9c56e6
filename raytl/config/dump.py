"""Write an experiment as YAML that reads back as the same experiment, with every key that takes effect."""

from __future__ import annotations

from typing import Any

import yaml

from raytl.config.build import path_of, remove
from raytl.config.environment import escaped
from raytl.config.rules import idle
from raytl.config.schema import Experiment
from raytl.config.source import scalar
from raytl.sanitize import json_printable

CHOSEN = ("model", "transfer", "augment", "optim", "train")
"""The sections in which a recipe chooses."""


def to_yaml(experiment: Experiment) -> str:
    """Return the experiment with its defaults, without keys that cannot take effect.

    With `recipe: auto`, keys of the sections in which the recipe chooses are written only if they are set.
    """
    values = experiment.model_dump(mode="json")
    if experiment.recipe == "auto":
        own = experiment.model_dump(mode="json", exclude_unset=True)
        values = {key: own.get(key) if key in CHOSEN else value for key, value in values.items()}
        values = {key: value for key, value in values.items() if key not in CHOSEN or value}
    for one in idle(experiment):
        remove(values, path_of(one.key))
    return json_printable(yaml.dump(escaped(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def yaml_value(value: Any) -> str:
    """Return a value as one line of YAML that `source.scalar` and YAML's flow style read back as the same value."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=10**6)
    return json_printable(text.removesuffix("...\n").strip())


class _Dumper(yaml.SafeDumper):
    """Quote every text that `source.scalar` would read as something else.

    Text with line ends or with characters that steer terminals is in double quotes, where YAML has JSON's escapes.
    """


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if not isinstance(scalar(text), str) else None
    if "\n" in text or json_printable(text) != text:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
