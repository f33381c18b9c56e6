"""The noise of validation, and the end of a sweep that it decides."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from raytl.config.schema import Experiment
from raytl.errors import RunError, TrainingError
from raytl.events import Message, Recorder
from raytl.search import noise as noise_module
from raytl.search.noise import NoiseStop, standard_error, validation_noise
from raytl.search.record import TrialRecord
from raytl.search.summary import TOTAL, sweep_root
from raytl.training.driver import plan
from raytl.training.job import TrainJob
from tests.search.conftest import Finished, MakeSweep

METRIC = "val/accuracy"


def test_the_standard_error_of_an_accuracy_is_that_of_a_share() -> None:
    hits = np.arange(400) % 5 > 0
    error = standard_error(lambda draw: float(hits[draw].mean()), len(hits))
    assert error == pytest.approx(math.sqrt(0.8 * 0.2 / 400), rel=0.15)


def test_a_score_that_no_resample_defines_is_an_error() -> None:
    with pytest.raises(TrainingError, match="undefined for 200 resamples of its 9 images"):
        standard_error(lambda draw: math.nan, 9)


@pytest.mark.parametrize(("seconds", "draws"), [(0.01, 200), (0.2, 51), (9.0, 30)])
def test_a_slow_score_is_resampled_less_often_but_thirty_times_at_least(seconds: float, draws: int) -> None:
    measured: list[float] = []

    def measure(draw: Any) -> float:
        measured.append(float(draw.mean()))
        return measured[-1]

    standard_error(measure, 100, clock=lambda: seconds * len(measured))
    assert len(measured) == draws


def job_of(experiment: Experiment) -> TrainJob:
    splits = plan(experiment).dataset.splits
    return TrainJob(experiment, "trials", splits.train, splits.val, splits.classes)


@pytest.mark.thorough
def test_the_noise_of_a_trial_is_measured_on_its_checkpoint(finished: Finished) -> None:
    sweep = job_of(finished.experiment)
    folder = next(sweep_root(finished.experiment).glob("trials/trial-*/checkpoints/best")).parents[1]
    record = TrialRecord(0, "complete", {}, (0.5,), folder=str(folder))
    assert 0 <= validation_noise(record, sweep, "val/balanced_accuracy") < 0.5
    assert validation_noise(record, sweep, "val/log_loss") > 0


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUDA error: out of memory")]
)
def test_without_memory_the_noise_is_unknown_and_the_sweep_goes_on(
    tmp_path: Path, error: Exception, make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def occupied(*_: Any) -> Any:
        raise error

    emptied: list[str] = []
    monkeypatch.setattr(noise_module, "answers", occupied)
    monkeypatch.setattr(noise_module, "load_saved", lambda _: Mock())
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("emptied"))
    sweep, heard = TrainJob(make_sweep(), "trials", (), (), ()), Recorder()
    stop = NoiseStop(tmp_path, METRIC, lambda record: validation_noise(record, sweep, METRIC), heard)
    trials = [replace(record, folder=str(tmp_path)) for record in records(*FLAT)]
    assert stop.decide(trials, 50) is None
    (warning,) = [event for event in heard.events if isinstance(event, Message)]
    assert warning.level == "warning" and "out of memory" in warning.text and "so all trials run" in warning.text
    assert emptied == ["emptied"]


def test_another_runtime_error_is_not_taken_for_it(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(noise_module, "fetched", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        validation_noise(records(0.5)[0], TrainJob(make_sweep(), "trials", (), (), ()), METRIC)


def records(*scores: float, source: str = "sampler") -> list[TrialRecord]:
    return [TrialRecord(i, "complete", {}, (score,), source=source) for i, score in enumerate(scores)]


def rule(folder: Path, noise: Any = 0.05, heard: Recorder | None = None) -> NoiseStop:
    def measure(record: TrialRecord) -> float:
        if isinstance(noise, Exception):
            raise noise
        return float(noise)

    return NoiseStop(folder, METRIC, measure, heard or Recorder())


FLAT = [0.90, 0.899, *[0.89] * 10]


def test_the_decision_is_stored_and_said(tmp_path: Path) -> None:
    heard = Recorder()
    stop = rule(tmp_path, heard=heard).decide(records(*FLAT), 50)
    assert stop is not None and stop.ended == 12
    said = [event.text for event in heard.events if isinstance(event, Message)]
    assert said == [
        "noise of validation: standard error of val/accuracy 0.0500 (trial 0)",
        f"{stop.reason}; --add N runs N more",
    ]
    total = json.loads((tmp_path / TOTAL).read_bytes())
    assert (total["trials"], total["planned"], total["stop"]["remaining"]) == (12, 62, 50)


def test_the_stored_noise_decides_when_the_sweep_resumes(tmp_path: Path) -> None:
    assert rule(tmp_path, 1e-6).decide(records(*FLAT), 50) is None
    assert rule(tmp_path, 0.5).decide(records(*FLAT), 50) is None


def test_losses_are_better_when_lower(tmp_path: Path) -> None:
    falling = NoiseStop(tmp_path, "val/log_loss", lambda _: 0.05, Recorder())
    assert falling.decide(records(0.1, *[0.9 + i / 10 for i in range(11)]), 50) is None
    assert falling.decide(records(*[0.1 + i / 1000 for i in range(12)]), 50) is not None


def test_the_first_points_are_tried_and_failed_trials_do_not_count(tmp_path: Path) -> None:
    assert rule(tmp_path).decide(records(*FLAT, source="recipe: last stage"), 50) is None
    slow = TrialRecord(50, "running", {}, source="recipe: linear probe")
    assert rule(tmp_path).decide([*records(*FLAT), slow], 50) is None
    failed = [TrialRecord(99 + i, "failed", {}) for i in range(20)]
    assert rule(tmp_path).decide([*records(*FLAT[:9]), *failed], 50) is None


@pytest.mark.parametrize("error", [RunError("the checkpoint is lost"), TrainingError("undefined")])
def test_all_trials_run_if_the_noise_cannot_be_measured(tmp_path: Path, error: Exception) -> None:
    heard = Recorder()
    broken = rule(tmp_path, error, heard)
    assert broken.decide(records(*FLAT), 50) is None
    assert broken.decide(records(*FLAT), 49) is None
    (warning,) = [event for event in heard.events if isinstance(event, Message)]
    assert warning.level == "warning" and "so all trials run" in warning.text
