"""Mixup and CutMix blend images and their labels in the same proportion."""

from __future__ import annotations

import pytest
import torch

from raytl.config.schema import AugmentConfig
from raytl.tasks.classification.mix import mix

IMAGES = torch.stack([torch.full((3, 16, 16), float(value)) for value in range(4)])
TARGETS = torch.tensor([0, 1, 2, 3])


def test_without_either_there_is_no_mix() -> None:
    assert mix(AugmentConfig(mixup=0.0, cutmix=0.0), 4) is None


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_labels_are_the_shares_of_the_images(kind: str) -> None:
    mixed = mix(AugmentConfig.model_validate({kind: 1.0}), 4)
    assert mixed is not None
    torch.manual_seed(3)
    images, labels = mixed(IMAGES, TARGETS)
    assert labels.shape == (4, 4)
    assert torch.allclose(labels.sum(1), torch.ones(4))
    assert not torch.equal(labels, torch.eye(4))
    # the value of an image is its class, so the mean of a mixed image is that of its labels
    assert torch.allclose(images.mean((1, 2, 3)), labels @ torch.arange(4.0), atol=1e-5)


def test_both_take_turns() -> None:
    mixed = mix(AugmentConfig(mixup=1.0, cutmix=1.0), 4)
    assert mixed is not None
    torch.manual_seed(0)
    cut = [bool((images == images.round()).all()) for images, _ in (mixed(IMAGES, TARGETS) for _ in range(20))]
    assert {True, False} == set(cut)
