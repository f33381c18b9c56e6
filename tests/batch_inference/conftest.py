"""A saved model of three classes, and photos of which one is broken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.models.backbone import build
from raytl.models.saved_model import Card, save_model
from tests.conftest import MakePhotos


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A saved model."""
    config = ModelConfig(name="test_resnet", weights="none", preprocess=PreprocessOverride(image_px=32))
    torch.manual_seed(0)
    backbone = build(config, 3)
    folder = tmp_path / "model"
    save_model(
        folder,
        backbone.module,
        Card(config.name, ("blue", "green", "red"), backbone.preprocess, backbone.weights_digest),
    )
    return folder


@pytest.fixture
def photos(make_photos: MakePhotos) -> Path:
    """30 photos in three folders, the sixth of which is broken; one has a name of several lines."""
    root = make_photos(per_class=10)
    whole = (root / "blue" / "005.jpg").read_bytes()
    (root / "blue" / "005.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "red" / "009.jpg").rename(root / "red" / 'new\nline, "ü" .jpg')
    return root
