"""BatchNorm statistics of another domain are those of all its images, whatever the batches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raytl.adaptation.statistics import GROUP, measured_statistics, norm_layers, set_statistics, statistics_of


def network() -> nn.Module:
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
    return nn.Sequential(*parts)


def images(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 + 1


@pytest.mark.parametrize("size", [1, 7, 40])
def test_the_size_of_the_batches_changes_no_bit(size: int) -> None:
    module = network()
    whole = measured_statistics(module, [images(GROUP + 9)])
    assert measured_statistics(module, images(GROUP + 9).split(size)).digest == whole.digest


def test_they_are_those_of_torch_in_training() -> None:
    module = network()
    found = measured_statistics(module, images(40).split(8))
    trained = copy.deepcopy(module).train()
    for _, layer in norm_layers(trained):
        layer.momentum = 1.0
    trained(images(40))
    for name, layer in norm_layers(trained):
        assert layer.running_mean is not None and layer.running_var is not None
        np.testing.assert_allclose(found.layers[name][0], layer.running_mean.numpy(), atol=1e-6)
        count = 40 * (36 if name == "1" else 16)
        np.testing.assert_allclose(found.layers[name][1], layer.running_var.numpy() * (count - 1) / count, rtol=1e-5)


def test_one_image_whose_maps_are_a_pixel_has_no_variance() -> None:
    module = nn.Sequential(nn.Conv2d(3, 6, 8), nn.BatchNorm2d(6))
    mean, variance = measured_statistics(module, [images(1)]).layers["1"]
    np.testing.assert_allclose(mean, module[0](images(1)).detach().flatten().numpy(), rtol=1e-5)
    assert not variance.any()


def test_groups_are_pooled_with_the_variance_between_them() -> None:
    given = torch.cat([images(GROUP), images(GROUP) + 3.0])
    layer = nn.Sequential(nn.BatchNorm2d(3))
    mean, variance = measured_statistics(layer, [given]).layers["0"]
    np.testing.assert_allclose(mean, given.mean((0, 2, 3)).numpy(), rtol=1e-5)
    np.testing.assert_allclose(variance, given.var((0, 2, 3), correction=0).numpy(), rtol=1e-5)


def test_the_module_is_left_as_it_was() -> None:
    module = network().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    measured_statistics(module, [images(10)])
    assert module.training and all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_pre_hooks for part in module.modules())


def test_alpha_mixes_them_with_the_networks_own() -> None:
    module = network()
    own, given = statistics_of(module), images(30)
    new = measured_statistics(module, [given])
    half = measured_statistics(module, [given], alpha=0.5)
    for part in (0, 1):  # the first layer sees the same inputs
        expected = (own.layers["1"][part] + new.layers["1"][part]) / 2
        np.testing.assert_allclose(half.layers["1"][part], expected, rtol=1e-5)
    assert measured_statistics(module, [given], alpha=1.0).digest == new.digest


def test_after_they_are_set_the_network_sees_normalized_inputs() -> None:
    module, given = network(), images(50)
    set_statistics(module, measured_statistics(module, [given]))
    out = module.eval()(given)
    np.testing.assert_allclose(out.mean((0, 2, 3)).detach().numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(out.var((0, 2, 3), correction=0).detach().numpy(), 1, rtol=1e-3)


def test_statistics_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="of another network"):
        set_statistics(network(), statistics_of(nn.Sequential(nn.BatchNorm2d(3))))


def test_without_images_or_layers_there_is_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="no images"):
        measured_statistics(network(), [])
    with pytest.raises(ValueError, match="no BatchNorm"):
        measured_statistics(nn.Sequential(nn.Conv2d(3, 3, 1)), [images(2)])
