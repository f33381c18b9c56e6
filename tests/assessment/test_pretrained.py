from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from raytl.assessment.report import report
from raytl.config.dump import to_yaml
from raytl.config.load import load_experiment
from raytl.config.override import override
from raytl.config.schema import ModelConfig
from raytl.evaluation.evaluate import evaluate
from raytl.events import Message, Recorder
from raytl.models.backbone import build
from raytl.models.saved_model import read_card, save_model
from raytl.run import RunFolder
from raytl.run.atomic import write_text
from raytl.tasks.saved import load_saved


@pytest.fixture
def weights(grouped: RunFolder, tmp_path: Path) -> Path:
    """The file of the weights from which the run started, as its card and its experiment have it."""
    torch.manual_seed(1)
    place = tmp_path / "start.safetensors"
    save_file(build(ModelConfig(name="test_resnet", weights="none"), 3).module.state_dict(), place)
    experiment = override(load_experiment(grouped.experiment), {"model.weights": str(place)})
    write_text(grouped.experiment, to_yaml(experiment))
    card, module = read_card(grouped.best), load_saved(grouped.best).module
    save_model(grouped.best, module, replace(card, weights_digest=build(experiment.model, 3).weights_digest))
    grouped.write_manifest({"epochs": 1})
    evaluate(grouped.root, again=True, resamples=20)
    return place


def test_features_of_the_start_are_measured_first_and_computed_once(grouped: RunFolder, weights: Path) -> None:
    result = report(grouped.root, sections=["groups"]).sections["groups"]
    kinds = [gap["measured_on"] for gap in result.json["gaps"]]
    assert kinds == ["pretrained features", "the model's features"]
    assert result.sentences[0].startswith("site, pretrained features: ") and "too small" in result.sentences[-1]
    watcher = Recorder()
    report(grouped.root, sections=["groups"], on_event=watcher)
    assert not [event for event in watcher.events if getattr(event, "name", "").startswith("features of")]


@pytest.mark.thorough
def test_weights_that_changed_since_are_not_used(grouped: RunFolder, weights: Path) -> None:
    save_file(build(ModelConfig(name="test_resnet", weights="none"), 3).module.state_dict(), weights)
    watcher = Recorder()
    result = report(grouped.root, sections=["groups"], on_event=watcher)
    assert [gap["measured_on"] for gap in result.sections["groups"].json["gaps"]] == ["the model's features"]
    (said,) = [event.text for event in watcher.events if isinstance(event, Message) and event.level == "warning"]
    assert "model.weights: found other weights" in said and "Restore them" in said
