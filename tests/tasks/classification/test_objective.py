"""The summed loss of one part of a batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raytl.config.schema import AugmentConfig, TrainConfig
from raytl.tasks.classification.loss import loss
from raytl.tasks.classification.mix import mix
from raytl.tasks.classification.objective import ClassificationObjective

INPUTS = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 1, 1, 0])
NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))


def objective(**augment: float) -> ClassificationObjective:
    return ClassificationObjective(
        loss(TrainConfig(), {"ants": 2, "bees": 2}), mix(AugmentConfig.model_validate(augment), 2), 2
    )


def test_it_is_the_sum_over_the_samples_divided_by_their_count() -> None:
    whole = objective()(NETWORK, INPUTS, TARGETS, torch.arange(4))
    assert torch.allclose(whole, functional.cross_entropy(NETWORK(INPUTS), TARGETS, reduction="sum"))
    assert objective().normalizer(TARGETS) is None


def test_mixed_images_have_mixed_targets() -> None:
    seen: list[Tensor] = []

    def forward(inputs: Tensor) -> Tensor:
        seen.append(inputs)
        logits: Tensor = NETWORK(inputs)
        return logits

    torch.manual_seed(0)
    mixed = objective(mixup=1.0)(forward, INPUTS, TARGETS, torch.arange(4))
    torch.manual_seed(0)
    maker = mix(AugmentConfig(mixup=1.0), 2)
    assert maker is not None
    images, soft = maker(INPUTS, TARGETS)
    assert not torch.equal(images, INPUTS) and torch.equal(seen[0], images)
    assert torch.allclose(mixed, functional.cross_entropy(NETWORK(images), soft, reduction="sum"))


def test_an_output_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"its output is \(4, 12\), expected \(4, 2\)"):
        objective()(nn.Flatten(), INPUTS, TARGETS, torch.arange(4))
