"""A step whose gradients overflowed changes nothing, as with a GradScaler that asks the device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

from raytl.config.schema import OptimConfig
from raytl.models import optimizer as optimizers
from raytl.models.optimizer import build_optimizer


def trained(name: str, overflows: tuple[int, ...], steps: int = 6) -> dict[str, Any]:
    """Return the parameters, the state, and the scale after `steps`, some of which overflow."""
    draw = torch.Generator().manual_seed(0)
    weight, still = (torch.nn.Parameter(torch.randn(3, 4, generator=draw)) for _ in range(2))
    optimizer = build_optimizer([{"params": [weight, still]}], OptimConfig(name=name, lr=0.1))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for step in range(steps):
        loss = (weight * torch.randn(3, 4, generator=draw)).sum() * (math.inf if step in overflows else 1.0)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    return {
        "weight": weight.detach(), "still": still.detach(), "scale": scaler.get_scale(), "state": optimizer.state[weight]
    }  # fmt: skip


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let GradScaler ask the device from now on."""

    def asks(optimizer: Optimizer) -> Optimizer:
        return optimizer

    return lambda: monkeypatch.setattr(optimizers, "skip_on_device", asks)


@pytest.mark.parametrize("name", ["lion", "momentum", "nadamw", "rmsproptf", "nadam", "adan"])
@pytest.mark.parametrize("overflows", [(), (2, 3)])
def test_steps_are_those_of_a_scaler_that_asks(
    name: str, overflows: tuple[int, ...], asking: Callable[[], None]
) -> None:
    skipped = trained(name, overflows)
    asking()
    expected = trained(name, overflows)
    assert skipped["scale"] == expected["scale"] == 8.0 / 2 ** len(overflows)
    assert torch.equal(skipped["still"], expected["still"])
    exact = name != "adan" or not overflows  # its counter is on the host
    torch.testing.assert_close(
        skipped["weight"], expected["weight"], rtol=0 if exact else 0.1, atol=0 if exact else 0.1
    )
    if exact:
        assert skipped["state"].keys() == expected["state"].keys()
        torch.testing.assert_close(skipped["state"], expected["state"], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["lion", "lamb", "nadamw", "muon", "adopt"])
def test_an_overflow_in_the_first_step_leaves_finite_state(name: str) -> None:
    before, after = trained(name, (0,), steps=1), trained(name, (0,))
    assert torch.equal(before["weight"], before["still"].new_tensor(trained(name, (), steps=0)["weight"].tolist()))
    assert after["weight"].isfinite().all() and not torch.equal(after["weight"], before["weight"])


def test_a_fused_optimizer_of_torch_skips_by_itself() -> None:
    made = build_optimizer([{"params": [torch.nn.Parameter(torch.ones(2))]}], OptimConfig())
    assert made._step_supports_amp_scaling and not made._optimizer_step_pre_hooks  # type: ignore[attr-defined]
