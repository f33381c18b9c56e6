"""A trial of an Optuna study as a value."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from raytl.search.protocol import Suggestion
from raytl.search.record import ATTRIBUTES_FORMAT, State, TrialAttributes, TrialRecord

_STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_ATTRIBUTES = frozenset(each.name for each in fields(TrialAttributes))


def record_of(trial: FrozenTrial, root: str) -> TrialRecord:
    """Return the trial, with its folder below `root`: the sweep may have moved since it was stored."""
    attributes = {key: value for key, value in trial.user_attrs.items() if key in _ATTRIBUTES}
    attrs = ATTRIBUTES_FORMAT.typed(attributes, f"study.log: trial {trial.number}")
    curve = trial.intermediate_values or {
        int(key.split()[1]): value for key, value in trial.user_attrs.items() if key.startswith("epoch ")
    }
    return TrialRecord(
        number=trial.number,
        state=_STATES[trial.state],
        overrides=attrs.overrides,
        values=None if attrs.best is None or trial.state == TrialState.FAIL else attrs.best,
        best_epoch=attrs.best_epoch,
        curve=tuple(sorted(curve.items())),
        seconds=attrs.seconds,
        trainable=attrs.trainable,
        source=attrs.source,
        reason=attrs.reason,
        features=attrs.features,
        folder=f"{root}/{name}" if (name := _folder_name(trial, attrs)) else "",
    )


def _folder_name(trial: FrozenTrial, attrs: TrialAttributes) -> str:
    """Return the name of the trial's folder, which is stored when it ends; one that runs has the name that it was suggested with."""
    if attrs.folder:
        return Path(attrs.folder).name
    is_running = trial.state == TrialState.RUNNING and "overrides" in trial.user_attrs
    return Suggestion(trial.number, attrs.overrides).folder if is_running else ""
