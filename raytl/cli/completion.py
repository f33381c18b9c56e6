"""Words that a shell offers while a command line is typed: experiment keys after `--set`, and runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from raytl.config import shape
from raytl.config.machine import SETTINGS

RUNS = "runs"
EXPERIMENT = "experiment.yaml"
_PLAIN = re.compile(r"[A-Za-z0-9._/+-]+")


def experiment_keys(incomplete: str) -> list[tuple[str, str]]:
    """Return what may follow `--set`: keys with `=`, or after `=` the words that the key accepts; each with its meaning."""
    return list(_settings(incomplete, shape.all_keys()))


def machine_keys(incomplete: str) -> list[tuple[str, str]]:
    """Return what may follow `--set` where only settings of this machine count."""
    return list(_settings(incomplete, SETTINGS))


def run_folders(incomplete: str) -> list[str]:
    """Return the runs in the folder that was typed so far, or in `runs/`.

    Names with other characters than a run's name has are left out: scripts of shells evaluate what is offered.
    """
    folder = Path(incomplete if incomplete.endswith("/") else incomplete.rpartition("/")[0] or RUNS)
    names = sorted(str(path.parent) for path in folder.glob(f"*/{EXPERIMENT}"))
    return [name for name in names if name.startswith(incomplete) and _PLAIN.fullmatch(name)]


def _settings(incomplete: str, keys: tuple[str, ...] | list[str]) -> Iterator[tuple[str, str]]:
    key, equals, value = incomplete.partition("=")
    if not equals:
        yield from ((f"{name}=", _meaning(name)) for name in keys if name.startswith(incomplete))
    elif key in keys:
        path = key.split(".")
        switches = ["true", "false"] if shape.accepts_type(path, "boolean") else []
        words = [*shape.choices_at(path), *switches]
        yield from ((f"{key}={word}", "") for word in words if word.startswith(value))


def _meaning(key: str) -> str:
    """Return the first sentence of a key's description."""
    return shape.description(key.split(".")).partition(". ")[0].partition("; ")[0]
