"""The changes of all settings that a sweep may have, each step computed once."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from raytl.config.schema import Experiment
from raytl.labelling import changes
from raytl.labelling.change import UNCHANGED, TrainChange


def test_steps_that_settings_share_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []

    def step(inputs: object, value: str, change: TrainChange) -> TrainChange:
        calls.append((*change.notes, value))
        return replace(change, notes=calls[-1])

    monkeypatch.setattr(changes, "STEPS", dict.fromkeys(changes.KEYS, step))
    choices = {
        "labels.noise": {"choice": ["leave_out"]},
        "few.method": {"choice": ["propagate", "pseudo"]},
        "adapt.method": {"choice": ["centroids"]},
    }
    experiment = Experiment(
        name="x",
        data={"uri": "own/", "unlabelled": "all/"},
        model="m",
        adapt={"target": "new/"},
        search={"trials": 2, "space": choices},
    )
    found = changes.label_changes(SimpleNamespace(experiment=experiment))  # type: ignore[arg-type]
    assert len(found) == 2 * 3 * 2 - 1 and UNCHANGED not in found.values()
    assert found["leave_out", "pseudo", "none"].notes == ("leave_out", "pseudo")
    assert len(calls) == len(set(calls)) == 1 + 2 * 2 + 2 * 3
