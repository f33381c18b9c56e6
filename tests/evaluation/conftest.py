"""A finished run as training leaves it, made by hand: 21 test photos, and a network whose head was fitted a little."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from raytl.config.dump import to_yaml
from raytl.config.schema import DataConfig, Experiment, ModelConfig, PreprocessOverride, StorageConfig
from raytl.data.decode import decode
from raytl.data.manifest import Sample
from raytl.data.transforms import eval_view, prepare
from raytl.models.backbone import Backbone, build
from raytl.models.forward import to_input
from raytl.models.saved_model import Card, save_model
from raytl.run import RunFolder, journal
from raytl.run.atomic import write_text
from tests.conftest import MakePhotos

CLASSES = ("blue", "green", "red")


def _fit_head(backbone: Backbone, photos: list[Path]) -> None:
    """Let each class be called by how near the features are to those of its one photo: often right, not always."""
    views = [eval_view(prepare(decode(path, 10**6), backbone.preprocess), backbone.preprocess) for path in photos]
    module: Any = backbone.module.eval()
    with torch.no_grad():
        inputs = to_input(torch.stack(views), backbone.preprocess, torch.device("cpu"), channels_last=False)
        features = module.forward_head(module.forward_features(inputs), pre_logits=True)
        scale = 4.0 / (features - features.mean(dim=0)).square().sum(dim=1).mean()
        module.get_classifier().weight.copy_(scale * features)
        module.get_classifier().bias.copy_(-scale * features.square().sum(dim=1) / 2)


@pytest.fixture(autouse=True)
def composed_charts(undrawn: None) -> None:
    """Leave out the pixels of charts."""


@pytest.fixture
def run(make_photos: MakePhotos, tmp_path: Path) -> RunFolder:
    """A finished run: 9 images a class, of which 7 are test (21, of which 3 are labelled wrongly) and 2 are val."""
    root = make_photos(per_class=9, px=36)
    model = ModelConfig(name="test_resnet", weights="none", preprocess=PreprocessOverride(image_px=32))
    experiment = Experiment(
        name="demo",
        data=DataConfig(uri=str(root)),
        model=model,
        storage=StorageConfig(uri=str(tmp_path / "runs")),
    )
    folder = RunFolder.of(experiment)
    write_text(folder.experiment, to_yaml(experiment))
    for number, name in enumerate(CLASSES):
        for i, path in enumerate(sorted((root / name).iterdir())):
            label = CLASSES[(number + (i == 3)) % 3]  # the fourth photo of each class is labelled wrongly
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            split = "test" if i < 7 else "val"
            journal.append(folder.samples, Sample(f"{name}/{path.name}", str(path), label, split, digest).record())
    torch.manual_seed(0)
    backbone = build(model, len(CLASSES))
    _fit_head(backbone, [root / name / "008.jpg" for name in CLASSES])
    save_model(folder.best, backbone.module, Card(model.name, CLASSES, backbone.preprocess, backbone.weights_digest))
    folder.write_manifest({"epochs": 1})
    return folder
