from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.evaluation.record import recorded
from raytl.events import ignore
from raytl.retraining.compare import SavedModel, compare
from raytl.run import RunFolder
from tests.evaluation.conftest import run as evaluated_run

__all__ = ["evaluated_run"]


def with_temperature(run: RunFolder, folder: Path, temperature: float) -> SavedModel:
    """Return a copy of the run's model with this temperature in its card."""
    shutil.copytree(run.best, folder)
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"temperature": temperature}))
    return SavedModel(folder, str(folder))


def compared_by_log_loss(data: Path) -> Experiment:
    values = {
        "name": "x",
        "data": {"uri": str(data)},
        "model": {"name": "test_resnet"},
        "compute": {"device": "cpu"},
    }
    return override(Experiment.model_validate(values), {"retrain.gate.metric": "log_loss"})


def test_calibrated_answers_are_compared_with_calibrated_ones(
    evaluated_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.retraining.compare._latency_ms", lambda *_: 1.0)
    experiment = compared_by_log_loss(tmp_path)
    samples = recorded(evaluated_run, "test")
    scores = {}
    for temperature in (1.0, 4.0):
        model = with_temperature(evaluated_run, tmp_path / f"t{temperature}", temperature)
        first, _ = compare(experiment, samples, None, model, (), tmp_path, ignore)
        scores[temperature] = first.metrics
    sharp, soft = (SavedModel(tmp_path / f"t{each}", "x") for each in (1.0, 4.0))
    result, _ = compare(experiment, samples, sharp, soft, (), tmp_path, ignore)
    assert (result.champion_metrics, result.metrics) == (scores[1.0], scores[4.0])
    assert scores[1.0]["accuracy"] == scores[4.0]["accuracy"] and scores[1.0]["ece"] != scores[4.0]["ece"]
    assert result.paired is not None
    assert result.paired.gain == pytest.approx(scores[1.0]["log_loss"] - scores[4.0]["log_loss"])


def test_evaluation_images_of_a_group_are_one_witness(
    evaluated_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.retraining.compare._latency_ms", lambda *_: 1.0)
    experiment = override(compared_by_log_loss(tmp_path / "images.csv"), {"data.columns": {"patient": "group"}})
    samples = [
        replace(sample, columns=(("patient", "xy"[place % 2]),))
        for place, sample in enumerate(recorded(evaluated_run, "test"))
    ]
    soft, sharp = (with_temperature(evaluated_run, tmp_path / str(each), each) for each in (4.0, 1.0))
    result, _ = compare(experiment, samples, soft, sharp, (), tmp_path, ignore)
    assert result.groups == 2
    assert result.paired is not None and {result.paired.p_better, result.paired.p_worse} <= {0.25, 0.5, 0.75, 1.0}
