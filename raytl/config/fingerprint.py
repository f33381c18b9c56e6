"""What decides a run's result, as one digest and as lines of differences; where and how fast it runs is left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from raytl.config.rules import idle
from raytl.config.schema import Experiment
from raytl.config.section import Section

_NOT_DECISIVE = (
    "compute.",
    "storage.",
    "search.",
    "retrain.",
    "name",
    "data.snapshot",  # the data itself decides, by its digest
    "data.sides",
    "data.loader_workers",
    "data.cache",
    "data.stream",
    "data.pull_limit_gb",
    "data.zip_encoding",  # the class names that it gives are in the data's digest
    "train.checkpoint_every_s",
)


def fingerprint(experiment: Experiment) -> str:
    """sha256 (hex) of every value that decides the result. Two experiments that train alike have the same one."""
    text = json.dumps(decisive(experiment), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(before: Experiment, after: Experiment) -> list[str]:
    """The decisive keys that differ, as lines such as `optim.lr: 0.001 -> 0.01`.

    Of a key that takes effect on one side only, the key that makes it idle on the other is told.
    """
    old, new = decisive(before), decisive(after)
    return [f"{key}: {old[key]} -> {new[key]}" for key in old if key in new and old[key] != new[key]]


def decisive(experiment: Experiment) -> dict[str, Any]:
    """The values by dotted key that decide the result; keys that cannot take effect are left out."""
    useless = {one.key for one in idle(experiment)}
    values = _flat(experiment, "")
    return {key: value for key, value in values if not key.startswith(_NOT_DECISIVE) and key not in useless}


def _flat(section: Section, prefix: str) -> Iterator[tuple[str, Any]]:
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Section):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value
