"""Solving a head says that it makes progress: other workers and the driver wait for it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.data.targets import Labels, Target
from raytl.events import Event, Recorder, Work
from raytl.models import probe
from raytl.models.solved_head import MOST_STEPS
from raytl.tasks import probe_solver
from raytl.tasks.registry import task_named

EXPERIMENT = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})


@pytest.fixture(params=["classification", "multilabel"])
def solve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Solve the head of a task on features that are at hand, and return the reported steps."""
    one, other = ("a", "b") if request.param == "classification" else (Labels(("a",)), Labels(("b",)))
    targets: list[Target] = [one, other] * 4
    samples = [Sample(f"{place}.jpg", f"{place}.jpg", target) for place, target in enumerate(targets)]
    features = torch.randn(len(samples), 3, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(probe_solver, "_loader", lambda *_: [])
    monkeypatch.setattr(probe, "head_inputs", lambda *_: features)
    monkeypatch.setattr(probe, "head_layer", lambda backbone: backbone.module)

    def run() -> list[Event]:
        experiment = EXPERIMENT.model_copy(update={"task": request.param})
        recorder, backbone = Recorder(), SimpleNamespace(module=nn.Linear(3, 2))
        solver: Any = task_named(request.param).head_solver
        solver.solve(experiment, backbone, samples, samples, ("a", "b"), recorder)
        return recorder.events

    return run


def test_each_step_of_a_long_solution_is_progress(solve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_solver, "STEPS_EVERY_S", 0.0)
    events = solve()
    assert len(events) > 20
    *steps, last = events
    assert steps == [Work("solving the head", done, MOST_STEPS, "steps") for done in range(1, len(events))]
    assert last == replace(steps[-1], total=steps[-1].done)


def test_the_time_of_the_features_does_not_count_as_time_of_the_solution(
    solve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, features = [0.0], probe.head_inputs()  # type: ignore[call-arg]

    def slow(*_: object) -> torch.Tensor:
        now[0] += 60
        return features

    monkeypatch.setattr(probe, "head_inputs", slow)
    monkeypatch.setattr(probe_solver, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert solve() == []


def test_the_steps_of_a_short_solution_are_not_reported(solve: Any) -> None:
    assert solve() == []
