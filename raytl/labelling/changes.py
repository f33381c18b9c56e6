"""Compute the changes of an experiment's training images, for its own settings and for those of a sweep's trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from raytl.labelling.adapt import adapt
from raytl.labelling.change import UNCHANGED, TrainChange
from raytl.labelling.inputs import LabelInputs
from raytl.labelling.settings import KEYS, Settings, searched_settings

NONE = "none"
"""The value of each key that changes nothing."""
Step: TypeAlias = Callable[[LabelInputs, Any, TrainChange], TrainChange]
"""From the inputs, the value of a key and the change so far to the whole change."""
STEPS: Mapping[str, Step] = MappingProxyType({"adapt.method": adapt})
"""The step of each of `KEYS`."""


def label_changes(inputs: LabelInputs) -> dict[Settings, TrainChange]:
    """Return the change for the settings of the experiment and for each setting that a trial may have.

    Settings that change nothing are left out.
    """
    changes = {settings: _change(inputs, settings) for settings in searched_settings(inputs.experiment)}
    return {settings: change for settings, change in changes.items() if change is not UNCHANGED}


def _change(inputs: LabelInputs, settings: Settings) -> TrainChange:
    change = UNCHANGED
    for key, value in zip(KEYS, settings, strict=True):
        if value != NONE:
            change = STEPS[key](inputs, value, change)
    return change
