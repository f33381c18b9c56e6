"""The features of a batch, from the same forward pass as its answers."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.transforms import Preprocess
from raytl.models.backbone import build
from raytl.models.card import Card
from raytl.tasks.registry import task_named
from raytl.tasks.saved import Saved
from raytl.tasks.watched import FeatureWatch, batch_features


@pytest.fixture
def saved() -> Saved:
    """A small network with random weights."""
    config = ModelConfig(name="test_resnet", weights="none", preprocess=PreprocessOverride(image_px=32))
    backbone = build(config, 3)
    card = Card(config.name, ("a", "b", "c"), Preprocess(32, 32, "center", "bilinear", (0.5,) * 3, (0.5,) * 3), "none")
    return Saved(task_named("classification"), backbone.module.eval(), card, backbone)


def test_features_are_those_that_the_head_sees(saved: Saved) -> None:
    features, images = batch_features(saved), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        saved.module(images)
        module = saved.backbone.module
        expected = module.forward_head(module.forward_features(images), pre_logits=True)  # type: ignore[operator]
    found = features(2)
    assert found.dtype == np.float16 and found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-3, atol=1e-3)


def test_each_thread_has_the_features_of_its_own_batch(saved: Saved) -> None:
    watch, images = FeatureWatch(saved), torch.randn(2, 3, 32, 32)
    shapes: list[tuple[int, ...]] = []

    def other() -> None:
        with torch.no_grad():
            saved.module(images[:1])
        shapes.append(tuple(watch.features().shape))

    with torch.no_grad():
        saved.module(images)
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert shapes[0][0] == 1 and watch.features().shape[0] == 2


def test_features_beyond_half_precision_are_clipped(saved: Saved) -> None:
    features = batch_features(saved)
    with torch.no_grad():
        saved.backbone.module.get_classifier()(torch.full((1, 96), 1e30))  # type: ignore[operator]
    assert np.isfinite(features(1)).all() and features(1).max() == 65504


def test_a_network_without_a_linear_head_has_no_features(saved: Saved) -> None:
    bare = replace(saved, backbone=replace(saved.backbone, head=()))
    assert batch_features(bare)(5).shape == (5, 0)
