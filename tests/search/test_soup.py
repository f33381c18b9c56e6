"""A soup is the mean of its trials' weights, and a model like any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.models.backbone import build
from raytl.models.predict_score import set_predict_score
from raytl.models.saved_model import Card, load_model, save_model
from raytl.run.folder import RunFolder
from raytl.search.driver import tune
from raytl.search.record import TrialRecord
from raytl.search.soup import average_weights, mean
from tests.search.conftest import MakeSweep


def test_the_mean_of_states() -> None:
    one = {"weight": torch.tensor([1.0, 3.0]), "count": torch.tensor(4)}
    other = {"weight": torch.tensor([3.0, 5.0]), "count": torch.tensor(6)}
    average = mean([one, other])
    assert average["weight"].tolist() == [2.0, 4.0]
    assert (average["count"].item(), average["weight"].dtype) == (4, torch.float32)


@pytest.fixture
def trials(tmp_path: Path) -> list[TrialRecord]:
    """Three trials, best first, whose checkpoints are three networks; and one whose checkpoint was lost."""
    model = ModelConfig(name="test_resnet", weights="none", preprocess=PreprocessOverride(image_px=32))
    for number in range(3):
        torch.manual_seed(number)
        backbone = build(model, 3)
        best = RunFolder(tmp_path / str(number)).best
        save_model(best, backbone.module, Card(model.name, ("a", "b", "c"), backbone.preprocess, "none"))
    return [TrialRecord(number, "complete", {}, folder=str(tmp_path / str(number))) for number in (0, 1, 3, 2)]


def weights_of(folder: str | Path) -> Mapping[str, torch.Tensor]:
    module, _ = load_model(folder)
    return module.state_dict()


@pytest.mark.parametrize(
    ("kind", "scores", "chosen", "score"),
    [
        ("uniform", [0.4], (0, 1, 2), 0.4),
        ("greedy", [0.5, 0.6, 0.7, 0.7], (0, 1, 2), 0.7),
        ("greedy", [0.5, 0.4, 0.5, 0.5], (0, 2), 0.5),
        ("greedy", [0.5, 0.4, 0.4, 0.5], (0,), 0.5),
    ],
)
def test_a_soup_is_the_mean_of_its_trials(
    kind: Literal["uniform", "greedy"],
    scores: list[float],
    chosen: tuple[int, ...],
    score: float,
    trials: list[TrialRecord],
    tmp_path: Path,
) -> None:
    given = iter(scores)
    soup = average_weights(kind, trials, lambda _: next(given), tmp_path / "soup")
    assert soup is not None
    assert (soup.trials, soup.score) == (chosen, score)
    expected = mean([weights_of(RunFolder(tmp_path / str(number)).best) for number in chosen])
    weights = weights_of(soup.folder)
    assert all(torch.allclose(weights[name], tensor) for name, tensor in expected.items())


def test_a_soup_of_detectors_reports_from_its_own_score(trials: list[TrialRecord], tmp_path: Path) -> None:
    best = RunFolder(tmp_path / "0").best
    module, card = load_model(best)
    save_model(best, module, replace(card, predict_score=0.4))

    def score(module: nn.Module) -> float:
        set_predict_score(module, 0.7)
        return 1.0

    soup = average_weights("uniform", trials, score, tmp_path / "soup")
    assert soup is not None and load_model(soup.folder)[1].predict_score == 0.7


@pytest.mark.parametrize("changes", [{"name": "test_resnet", "head": 4}, {"name": "test_vit"}, {"weights": "other"}])
def test_trials_of_another_network_are_left_out(
    changes: Mapping[str, Any], trials: list[TrialRecord], tmp_path: Path
) -> None:
    best = RunFolder(tmp_path / "1").best
    model = ModelConfig(
        name=changes.get("name", "test_resnet"), weights="none", preprocess=PreprocessOverride(image_px=32)
    )
    backbone = build(model, classes := changes.get("head", 3))
    names = ("a", "b", "c", "d")[:classes]
    save_model(best, backbone.module, Card(model.name, names, backbone.preprocess, changes.get("weights", "none")))
    soup = average_weights("uniform", trials, lambda _: 0.5, tmp_path / "soup")
    assert soup is not None and soup.trials == (0, 2)


def test_one_trial_makes_no_soup(trials: list[TrialRecord], tmp_path: Path) -> None:
    assert average_weights("uniform", [trials[0], trials[2]], lambda _: 1.0, tmp_path / "soup") is None


@pytest.mark.thorough
def test_a_sweep_averages_its_best_trials(make_sweep: MakeSweep) -> None:
    changes = {"search.soup": "greedy", "search.replicates.top": 0, "search.keep": 3, "search.trials": 3}
    result = tune(make_sweep(changes | {"search.scheduler": "none"}))
    assert result.soup is not None
    assert result.soup["trials"][0] == result.best_number
    assert result.soup["score"] >= result.best_value - 1e-9
    _, card = load_model(result.soup["folder"])
    assert len(card.classes) == 3
