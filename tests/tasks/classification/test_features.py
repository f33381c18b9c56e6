"""The features of images by which drift is measured are those that the saved model computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raytl.config.schema import ModelConfig
from raytl.data.bit_depth import BitDepth
from raytl.data.manifest import Sample
from raytl.events import ignore
from raytl.models.card import Card
from raytl.models.saved_model import save_model
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.classification import TASK
from raytl.tasks.classification.features import extract

CLASSES = ("a", "b")


@pytest.mark.parametrize("channels", [3, 4])
def test_images_of_other_channels_have_features_too(channels: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"name": "test_resnet", "weights": "none", "channels": channels})
    depth = BitDepth(ranges=((0.0, 255.0),) * 4) if channels == 4 else BitDepth()
    backbone = TASK.build(config, CLASSES, ENVIRONMENT).reading(depth)
    card = Card("test_resnet", CLASSES, backbone.preprocess, backbone.weights_digest, temperature=2.0)
    save_model(tmp_path / "model", backbone.module, card)
    samples = []
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, channels), np.uint8)
        Image.fromarray(pixels, "RGB" if channels == 3 else "RGBA").save(tmp_path / f"{i}.png")
        samples.append(Sample(f"{i}.png", str(tmp_path / f"{i}.png"), CLASSES[i % 2]))
    table = extract(tmp_path / "model", samples, "cpu", 10**6, ignore)
    assert table.features.shape[0] == 3 and np.isfinite(table.features).all() and table.features.any()
    assert table.labels.tolist() == ["a", "b", "a"] and set(table.predicted) <= set(CLASSES)
