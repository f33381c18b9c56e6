"""Optimizers by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from raytl.config.schema import OptimConfig
from raytl.errors import ConfigError
from raytl.models.optimizer import build_optimizer, check_optimizer, waits_for_device


def groups() -> list[dict[str, Any]]:
    weight, bias = (torch.nn.Parameter(torch.ones(n)) for n in (4, 2))
    return [
        {"params": [weight], "names": ["w"], "group": "head", "lr": 0.1, "weight_decay": 0.05},
        {"params": [bias], "names": ["b"], "group": "layer4", "lr": 0.01, "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("name", ["adamw", "sgd", "lamb", "adan", "lion", "rmsprop"])
def test_every_group_keeps_its_rate_its_decay_and_its_names(name: str) -> None:
    optimizer = build_optimizer(groups(), OptimConfig(name=name))
    settings = [(g["lr"], g["weight_decay"], g["names"], g["group"]) for g in optimizer.param_groups]
    assert settings == [(0.1, 0.05, ["w"], "head"), (0.01, 0.0, ["b"], "layer4")]
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    before = [p.detach().clone() for g in optimizer.param_groups for p in g["params"]]
    optimizer.step()
    assert all(
        not torch.equal(a, p)
        for a, p in zip(before, [p for g in optimizer.param_groups for p in g["params"]], strict=True)
    )


def test_momentum_is_sgds_or_the_first_beta() -> None:
    config = OptimConfig(name="sgd", momentum=0.8)
    sgd = build_optimizer(groups(), config).param_groups[0]
    assert (sgd["momentum"], sgd["nesterov"]) == (0.8, True)
    assert not build_optimizer(groups(), OptimConfig(name="sgd", momentum=0)).param_groups[0]["nesterov"]
    assert build_optimizer(groups(), OptimConfig(name="adamw", momentum=0.8)).param_groups[0]["betas"] == (0.8, 0.999)
    assert build_optimizer(groups(), OptimConfig(name="lion", momentum=0.8)).param_groups[0]["betas"] == (0.8, 0.99)


def test_the_state_survives_saving() -> None:
    optimizer = build_optimizer(groups(), OptimConfig())
    optimizer.param_groups[0]["params"][0].grad = torch.ones(4)
    optimizer.step()
    other = build_optimizer(groups(), OptimConfig())
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["names"] == ["w"]
    assert torch.equal(other.state_dict()["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


def test_an_unknown_optimizer_gets_near_misses() -> None:
    with pytest.raises(ConfigError, match=r"optim.name: there is no optimizer 'adamv'; did you mean"):
        build_optimizer(groups(), OptimConfig(name="adamv"))
    check_optimizer("adamw")


@pytest.mark.parametrize(
    ("name", "why"), [("kron", "no checkpoint can hold its random numbers"), ("adahessian", "needs second derivatives")]
)
def test_an_optimizer_that_training_cannot_use_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"optim.name: {name} does not work here: .*{why}.*; take adamw or sgd"):
        check_optimizer(name)


def test_an_optimizer_without_its_package_says_so() -> None:
    with pytest.raises(ConfigError, match=r"optim.name: bnbadamw cannot be built here .*; take adamw or sgd"):
        build_optimizer(groups(), OptimConfig(name="bnbadamw"))


def _waits(name: str) -> bool:
    """Return True if a step reads a value: a tensor of torch's `meta` device has none."""
    weight = torch.nn.Parameter(torch.zeros(4, 4, device="meta"))
    optimizer = build_optimizer([{"params": [weight]}], OptimConfig(name=name))
    try:
        for _ in range(2):
            weight.grad = torch.zeros_like(weight)
            optimizer.step()
    except RuntimeError as error:
        if "meta" not in str(error):
            raise
        return True
    return False


@pytest.mark.thorough
def test_the_optimizers_that_wait_for_the_device_are_known() -> None:
    from timm.optim._optim_factory import list_optimizers

    untried = {"adamw", "sgd", "adahessian"}  # torch's own, and one that is refused
    elsewhere = ("bnb", "fused", "kron")  # these need a GPU; kron is refused
    names = [name for name in list_optimizers() if name not in untried and not name.startswith(elsewhere)]
    assert [name for name in names if _waits(name)] == [name for name in names if waits_for_device(name)]
