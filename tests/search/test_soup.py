"""A soup is the mean of the weights of what is in it, and a model like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from raytl.config.schema import Experiment
from raytl.models.bundle import load_bundle
from raytl.search.driver import tune
from raytl.search.soup import mean


def test_the_mean_of_states() -> None:
    one = {"weight": torch.tensor([1.0, 3.0]), "count": torch.tensor(4)}
    other = {"weight": torch.tensor([3.0, 5.0]), "count": torch.tensor(6)}
    found = mean([one, other])
    assert found["weight"].tolist() == [2.0, 4.0]
    assert (found["count"].item(), found["weight"].dtype) == (4, torch.float32)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["uniform", "greedy"])
def test_a_sweep_cooks_a_soup_of_its_best_trials(kind: str, make_sweep: Callable[..., Experiment]) -> None:
    experiment = make_sweep({"search.soup": kind, "search.replicates.top": 0, "search.keep": 3, "search.trials": 5})
    result = tune(experiment)
    assert result.soup is not None
    trials = result.soup["trials"]
    assert len(trials) == 3 if kind == "uniform" else trials[0] == result.best_number
    module, card = load_bundle(result.soup["folder"])
    folders = {path.name.split("-")[1]: path for path in (Path(result.folder) / "trials").iterdir()}
    states = [load_bundle(folders[f"{number:05d}"])[0].state_dict() for number in trials]
    for name, tensor in mean(states).items():
        assert torch.allclose(module.state_dict()[name], tensor)
    if kind == "greedy":
        assert result.soup["score"] >= result.best_value - 1e-9
    assert len(card.classes) > 1
