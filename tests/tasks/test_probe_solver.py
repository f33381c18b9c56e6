"""Solving a head says that it makes progress: other workers and the driver wait for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raytl.config.schema import Experiment, TrainConfig
from raytl.data.manifest import Sample
from raytl.data.targets import Labels, Target
from raytl.errors import ModelError
from raytl.events import Event, Message, Recorder, Work
from raytl.models import head_work, probe
from raytl.models.head_work import MOST_EVALUATIONS
from raytl.models.solved_head import STRENGTHS
from raytl.tasks import probe_solver
from raytl.tasks.probe_solver import HeadInputs
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
        recorder, backbone = Recorder(), SimpleNamespace(module=nn.Linear(3, 2), name="a network")
        solver: Any = task_named(request.param).head_solver
        solver.solve(experiment, backbone, samples, samples, ("a", "b"), recorder)
        return recorder.events

    return run


def test_each_step_of_a_long_solution_is_progress(solve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_solver, "STEPS_EVERY_S", 0.0)
    events = solve()
    assert len(events) > 20
    *steps, last = events
    total = MOST_EVALUATIONS * len(STRENGTHS)
    assert steps == [Work("solving the head", done, total, "steps") for done in range(1, len(events))]
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


def test_few_steps_are_a_message_and_the_head_is_solved_in_these(solve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_solver, "STEPS_EVERY_S", 0.0)
    monkeypatch.setattr(head_work, "MOST_WORK", 2 * 8 * 3 * 2 * len(STRENGTHS) * 15)
    message, *steps = solve()
    assert message == Message("solving the head: 15 instead of 625 steps for a penalty (8 images, 2 classes)")
    assert isinstance(steps[0], Work) and steps[0].total == 15 * len(STRENGTHS)
    assert 0 < len(steps) <= len(STRENGTHS) * (15 + 25), "a line search of 25 steps that has begun ends"


def test_more_images_than_can_be_afforded_are_sampled_and_that_is_a_message(
    solve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_work, "MOST_WORK", 2 * 4 * 3 * 2 * len(STRENGTHS) * head_work.LEAST_EVALUATIONS)
    features = probe.head_inputs()[:4]  # type: ignore[call-arg]
    monkeypatch.setattr(probe, "head_inputs", lambda *_: features)
    sampled, fewer = solve()
    text = "solving the head on 4 of 8 training images, evenly of each class: all would take hours with 2 classes"
    assert sampled == Message(text)
    assert fewer == Message("solving the head: 12 instead of 625 steps for a penalty (4 images, 2 classes)")


def test_a_head_of_too_many_classes_is_an_error(solve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_work, "MOST_WORK", 500.0)
    with pytest.raises(
        ModelError, match="a head of 2 classes x 3 features takes hours(.|\n)*at most 0 classes(.|\n)*Set"
    ):
        solve()


@pytest.mark.parametrize(("task", "wrap"), [("classification", str), ("multilabel", lambda name: Labels((name,)))])
def test_label_smoothing_does_not_reach_a_solved_head(task: str, wrap: Callable[[str], Target]) -> None:
    samples = [Sample(f"{place}.jpg", f"{place}.jpg", wrap("ab"[place % 2])) for place in range(8)]
    inputs = HeadInputs(samples, torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
    solver: Any = task_named(task).head_solver

    def weight(smoothing: float) -> torch.Tensor:
        experiment = EXPERIMENT.model_copy(update={"train": TrainConfig(label_smoothing=smoothing)})
        solved: probe.Probe = solver.solve_head(experiment, inputs, inputs, ("a", "b"), True, lambda: None)
        return solved.best.weight

    assert torch.equal(weight(0.0), weight(0.1))


def test_a_sample_keeps_the_shares_of_the_classes_and_an_image_of_each() -> None:
    targets = np.array([0] * 60 + [1] * 30 + [2] * 9 + [3])
    samples = [Sample(f"{place}.jpg", f"{place}.jpg", str(name)) for place, name in enumerate(targets)]
    chosen = probe_solver.even_sample(samples, targets, 20)
    assert Counter(sample.target for sample in chosen) == {"0": 12, "1": 6, "2": 2, "3": 1}
    assert [int(str(sample.key)[:-4]) for sample in chosen[:3]] == [0, 5, 10]
    assert probe_solver.even_sample(samples, targets, 100) is samples
    assert len(probe_solver.even_sample(samples, None, 30)) == 30
    assert len(probe_solver.even_sample(samples[:17], None, 7)) == 7, "17 / 7 x 7 is 17 in floating point"
