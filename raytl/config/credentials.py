"""Detect secrets in an experiment: its text is stored in run folders, jobs and registries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from raytl.config.environment import variables
from raytl.config.source import Path, dotted
from raytl.redaction import is_secret_variable, masked, secret_values

_OWN_ADVICE = {
    "search.storage": "pass the database password in PGPASSWORD, ~/.pgpass or a file that ?read_default_file= names",
    "retrain.notify.webhook_env": "put the address into an environment variable and write the name of the variable here",
    "retrain.notify.mlflow_env": "put the address into an environment variable and write the name of the variable here",
}
_ADVICE = "remove it and pass it in the environment: bucket credentials in AWS_ACCESS_KEY_ID, a profile or a role"
_HOSTS = ("compute.cluster", "search.storage", "storage.endpoint_url")
"""Keys whose values are addresses with or without a scheme; elsewhere, `a:b@c` may be a file name."""
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z]).{12,}", re.DOTALL)
"""Text that is unlikely to be in a value by chance; a password such as `postgres` is also a name."""


def in_values(value: Any) -> Iterator[tuple[Path, str]]:
    """Yield the path and the fault of each text in `value`, keys of mappings too, that looks like a secret."""
    for path, text in _texts(value, ()):
        start = "//" if dotted(path) in _HOSTS and "//" not in text else ""
        if (masked_text := masked(start + text)) != start + text:
            yield path, _fault(masked_text.removeprefix(start))


def first_fault(text: str, environment: Mapping[str, str]) -> str:
    """Return the fault of a text that contains a secret, by its form or from `environment`; empty if it contains none."""
    return next((fault for faults in (in_values(text), of_environment(text, environment)) for _, fault in faults), "")


def by_reference(raw: Any, environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Yield the path and the fault of each text in `raw` in which `${VAR}` stands for a secret of `environment`."""
    for path, text in _texts(raw, ()):
        names = [name for name in variables(text) if is_secret_variable(name, environment.get(name, ""))]
        if names:
            yield path, _fault(f"${{{names[0]}}}")


def of_environment(raw: Any, environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Yield the path and the fault of each text in `raw` that contains the value of a secret in `environment`."""
    values = [value for value in secret_values(environment) if _RANDOM.fullmatch(value)]
    for path, text in _texts(raw, ()):
        if (masked_text := masked(text, values)) != masked(text):
            yield path, _fault(masked_text)


def _fault(masked_text: str) -> str:
    return (
        f"found {masked_text!r}, which contains a secret; expected none, because run folders and jobs store this text"
    )


def advice(key: str) -> str:
    """Return advice on how to pass the secret of a dotted key."""
    return _OWN_ADVICE.get(key, _ADVICE)


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _texts(str(key), path)
            yield from _texts(member, (*path, key))
    elif isinstance(value, list | tuple):
        for number, member in enumerate(value):
            yield from _texts(member, (*path, number))
