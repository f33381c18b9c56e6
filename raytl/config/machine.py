"""Settings of this machine: the connection to buckets and clusters, and limits.

They come from the command line, the environment, defaults or a local experiment file, and never from anything fetched.
"""

from __future__ import annotations

import json
from typing import Any

from raytl.config.schema import ComputeConfig, DataConfig, Experiment, StorageConfig
from raytl.config.section import Section
from raytl.config.source import inline
from raytl.errors import ConfigError

_NOT_HERE = {"storage.uri", "compute.workers", "compute.trial_gpus"}
"""Settings that an evaluation takes in another way (the run, --workers), or does not have."""
_SECTIONS: dict[str, type[Section]] = {"storage": StorageConfig, "compute": ComputeConfig}
SETTINGS = ("data.max_pixels", *(
    f"{name}.{key}" for name, section in _SECTIONS.items() for key in section.model_fields
    if f"{name}.{key}" not in _NOT_HERE
))  # fmt: skip
"""The dotted keys of the settings, as in an experiment file."""
ALONE = tuple(key for key in SETTINGS if not key.startswith("compute.") or key == "compute.device")
"""The settings that apply to work in this process, without Ray."""


_SHORT = {"storage.endpoint_url": "--endpoint-url", "storage.profile": "--profile"}


class Machine(Section):
    """The settings that `evaluate` and `predict` need besides a run."""

    storage: StorageConfig = StorageConfig()
    compute: ComputeConfig = ComputeConfig()
    max_pixels: int = DataConfig.model_fields["max_pixels"].default

    @classmethod
    def of(cls, experiment: Experiment) -> Machine:
        """Return the settings in the user's own `experiment`."""
        return cls(storage=experiment.storage, compute=experiment.compute, max_pixels=experiment.data.max_pixels)

    def alone(self) -> Machine:
        """Return the settings that take effect in this process, without Ray."""
        return Machine(
            storage=self.storage, compute=ComputeConfig(device=self.compute.device), max_pixels=self.max_pixels
        )

    def value(self, key: str) -> Any:
        """Return the setting at a dotted key of `SETTINGS`."""
        section, _, name = key.partition(".")
        return self.max_pixels if section == "data" else getattr(getattr(self, section), name)

    def check_alone(self) -> None:
        """Check that every setting can take effect in this process, without Ray.

        Raises:
            ConfigError: some need Ray workers; lists their keys.
        """
        idle = [key for key in SETTINGS if key not in ALONE and self.value(key) != default(key)]
        if idle:
            raise ConfigError(
                f"{', '.join(idle)}: cannot take effect in a single process; expected 2 or more workers. "
                "Leave it out, or run `raytl evaluate` with --workers 2 or more."
            )


def default(key: str) -> Any:
    """Return the default of a setting."""
    return Machine().value(key)


def as_assignments(experiment: Experiment) -> list[str]:
    """Return the settings of `experiment` that apply to one process and are not defaults, as `--set` takes them."""
    machine = Machine.of(experiment)
    return [assignment(key, machine.value(key)) for key in ALONE if machine.value(key) != default(key)]


def storage_options(experiment: Experiment) -> list[str]:
    """Return the options with which another command reaches the buckets of `experiment`; a run does not set them there."""
    machine = Machine.of(experiment)
    given = {key: machine.value(key) for key in ALONE if key.startswith("storage.")}
    return [word for key, value in given.items() if value != default(key) for word in _words(key, value)]


def _words(key: str, value: Any) -> tuple[str, ...]:
    if key == "storage.anonymous":
        return ("--anonymous",)
    return (_SHORT[key], value) if key in _SHORT else ("--set", assignment(key, value))


def assignment(key: str, value: Any) -> str:
    """Return `key=value` in the form from which `--set` reads the same value."""
    plain = value if isinstance(value, str) else json.dumps(value)
    is_same = not isinstance(value, str) or (not value.startswith(("[", "{", "'", '"')) and inline(value) == value)
    return f"{key}={plain if is_same else json.dumps(value)}"
