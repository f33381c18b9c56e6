"""What a method after training changes in a network, and which networks have nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from raytl.adaptation.normalization import LEARNED, adapt_network, changes_of, check_adaptable
from raytl.adaptation.statistics import MEASURED, measured_statistics, statistics_of
from raytl.config.adapt import AdaptConfig, TentConfig
from raytl.errors import ConfigError


def network(norm: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()


class Views:
    """40 images, and how many were asked for each time."""

    def __init__(self) -> None:
        self.limits: list[int] = []

    def __call__(self, limit: int) -> Iterator[Tensor]:
        self.limits.append(limit)
        yield from (torch.randn(40, 3, 6, 6, generator=torch.Generator().manual_seed(1)) + 2).split(8)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_adabn_gives_the_network_the_statistics_of_the_images(alpha: float) -> None:
    module, views = network(nn.BatchNorm2d(6)), Views()
    expected = measured_statistics(module, Views()(0), alpha)
    weights = [part.clone() for part in module.parameters()]
    assert adapt_network(module, views, AdaptConfig(method="adabn", alpha=alpha))
    assert statistics_of(module).digest == expected.digest and views.limits == [MEASURED]
    assert all(torch.equal(own, part) for own, part in zip(weights, module.parameters(), strict=True))


def test_tent_learns_after_the_statistics_are_set() -> None:
    module, views = network(nn.BatchNorm2d(6)), Views()
    expected = measured_statistics(module, Views()(0), 0.5)
    assert adapt_network(module, views, AdaptConfig(method="tent", tent=TentConfig(passes=2)))
    assert statistics_of(module).digest == expected.digest and views.limits == [MEASURED, LEARNED, LEARNED]
    assert not torch.equal(module[1].weight, torch.ones(6))  # type: ignore[index,arg-type]


def test_tent_without_batch_norm_measures_nothing() -> None:
    views = Views()
    assert adapt_network(network(nn.GroupNorm(2, 6)), views, AdaptConfig(method="tent"))
    assert views.limits == [LEARNED]


def test_a_network_that_is_no_longer_finite_is_reported() -> None:
    module = network(nn.BatchNorm2d(6))
    with torch.no_grad():
        module[4].weight.fill_(3e38)  # type: ignore[index,operator]
    assert not adapt_network(module, Views(), AdaptConfig(method="tent"))


@pytest.mark.parametrize(
    ("norm", "method", "match"),
    [
        (nn.GroupNorm(2, 6), "adabn", "adapt.method: vit has no BatchNorm, whose statistics adabn replaces; .* Set it to tent"),
        (nn.Identity(), "tent", "adapt.method: vit has no BatchNorm, LayerNorm or GroupNorm .* Set it to centroids"),
        (nn.BatchNorm2d(6, affine=False), "tent", "with a scale and a shift"),
    ],
)  # fmt: skip
def test_a_network_with_nothing_to_adapt_is_refused(norm: nn.Module, method: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        check_adaptable("vit", network(norm), method)


@pytest.mark.parametrize(
    ("norm", "method"), [(nn.Identity(), "coral"), (nn.GroupNorm(2, 6), "tent"), (nn.BatchNorm2d(6), "adabn")]
)
def test_others_are_accepted(norm: nn.Module, method: str) -> None:
    check_adaptable("vit", network(norm), method)


def test_messages_say_what_the_method_changes() -> None:
    module = network(nn.BatchNorm2d(6))
    assert changes_of(AdaptConfig(method="adabn"), module) == "adapt.method adabn (alpha 0.5)"
    tent = AdaptConfig(method="tent", alpha=1)
    assert changes_of(tent, module) == "adapt.method tent (alpha 1, rate 0.0001, passes 1)"
    assert changes_of(tent, network(nn.GroupNorm(2, 6))) == "adapt.method tent (rate 0.0001, passes 1)"
