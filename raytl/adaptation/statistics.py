"""The BatchNorm statistics of a network on the images of another domain (AdaBN, Li et al. 2016; alpha-BN, You et al. 2021).

The images pass in groups of a fixed size, in an order that follows from their content. In each layer a group is normalized by
its own statistics, so that a layer sees inputs from layers that are adapted already. The statistics of all groups are pooled
exactly: the mean and the variance of a layer's inputs over all images, with the variance between the groups.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raytl.models.backbone import Backbone

GROUP = 64
"""Images that are normalized together while statistics are measured; the size of loaded batches changes nothing."""
MEASURED = 512
"""Images of a domain whose statistics are measured at most: enough for the mean of a channel, and seconds of work."""
Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""The mean and the variance of each channel, `(c,)` each."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """The mean and variance of the inputs of each BatchNorm layer, by its name."""

    layers: Mapping[str, Layer]

    @property
    def digest(self) -> str:
        """Return the sha256 (hex) of the values."""
        total = hashlib.sha256()
        for name in sorted(self.layers):
            total.update(
                name.encode() + b"\0" + b"".join(np.ascontiguousarray(part).tobytes() for part in self.layers[name])
            )
        return total.hexdigest()

    def mixed(self, own: Statistics, alpha: float) -> Statistics:
        """Return `alpha` of these statistics and `1 - alpha` of a network's `own`; 1 returns these, 0 the others."""
        mix = {
            name: tuple(
                np.float32(alpha) * new + np.float32(1 - alpha) * old
                for new, old in zip(self.layers[name], own.layers[name], strict=True)
            )
            for name in self.layers
        }
        return Statistics(mix)  # type: ignore[arg-type]


def adapted(backbone: Backbone, statistics: Statistics) -> Backbone:
    """Return a copy of `backbone` with `statistics`.

    Raises:
        ValueError: they are those of another network.
    """
    module = copy.deepcopy(backbone.module)
    set_statistics(module, statistics)
    return replace(backbone, module=module, statistics=statistics.digest)


def statistics_of(module: nn.Module) -> Statistics:
    """Return the statistics that the BatchNorm layers of `module` have."""
    return Statistics(
        {name: (_array(layer.running_mean), _array(layer.running_var)) for name, layer in norm_layers(module)}
    )


def set_statistics(module: nn.Module, statistics: Statistics) -> None:
    """Copy `statistics` into the BatchNorm layers of `module`.

    Raises:
        ValueError: they are those of other layers.
    """
    layers = dict(norm_layers(module))
    if layers.keys() != statistics.layers.keys() or any(
        layers[name].num_features != len(part) for name, parts in statistics.layers.items() for part in parts
    ):
        raise ValueError("the statistics are those of another network")
    for name, (mean, variance) in statistics.layers.items():
        _write(layers[name], torch.from_numpy(mean), torch.from_numpy(variance))


def norm_layers(module: nn.Module) -> list[tuple[str, _BatchNorm]]:
    """Return the BatchNorm layers of `module` that have statistics, with their names."""
    return [
        (name, part)
        for name, part in module.named_modules()
        if isinstance(part, _BatchNorm) and part.running_mean is not None
    ]


@torch.no_grad()
def measured_statistics(module: nn.Module, batches: Iterable[Tensor], alpha: float = 1.0) -> Statistics:
    """Return the statistics of `module` on normalized images, `alpha` parts of them to `1 - alpha` of its own.

    `batches (n, 3, h, w)` may be of any sizes; the module is left as it was. With `alpha` below 1, each layer is
    normalized by the mixed statistics, as it will be.

    Raises:
        ValueError: there are no images, or the module has no BatchNorm.
    """
    own, layers = statistics_of(module), norm_layers(module)
    if not layers:
        raise ValueError("the network has no BatchNorm layer")
    pools = {name: _Pool() for name, _ in layers}
    was_training = module.training
    module.eval()
    try:
        with _measuring(layers, own, pools, alpha):
            for group in groups(batches):
                module(group)
    finally:
        module.train(was_training)
        set_statistics(module, own)
    if not pools[layers[0][0]].count:
        raise ValueError("there are no images to measure")
    measured = {name: pool.layer if pool.count else own.layers[name] for name, pool in pools.items()}
    return Statistics(measured).mixed(own, alpha) if alpha < 1 else Statistics(measured)


@contextmanager
def _measuring(
    layers: list[tuple[str, _BatchNorm]], own: Statistics, pools: Mapping[str, _Pool], alpha: float
) -> Iterator[None]:
    """Measure the inputs of all layers, and normalize them by what is measured, until the context ends."""
    with ExitStack() as hooks:
        for name, layer in layers:
            hooks.callback(layer.register_forward_pre_hook(_Measure(own.layers[name], pools[name], alpha)).remove)
        yield


@dataclass(frozen=True, eq=False)
class _Measure:
    """A hook that adds the inputs of a layer to its pool and gives the layer their statistics."""

    own: Layer
    pool: _Pool
    alpha: float

    def __call__(self, layer: Any, given: tuple[Tensor, ...]) -> None:
        values = given[0].float()
        mean, variance = _moments(values)
        self.pool.add(values.numel() // values.shape[1], _array(mean), _array(variance))
        old_mean, old_variance = (torch.from_numpy(part).to(mean.device) for part in self.own)
        _write(layer, torch.lerp(old_mean, mean, self.alpha), torch.lerp(old_variance, variance, self.alpha))


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of each channel; batch normalization is five times as fast as `torch.var_mean`."""
    mean, variance = values.new_zeros(values.shape[1]), values.new_zeros(values.shape[1])
    count = values.numel() // values.shape[1]
    if count == 1:  # one image, whose map is a pixel: torch refuses it
        return values.reshape(-1), variance
    nn.functional.batch_norm(values, mean, variance, training=True, momentum=1.0)
    return mean, variance * ((count - 1) / count)


@dataclass(eq=False)
class _Pool:
    """The mean and variance of values that come in parts (Chan et al. 1979), in double precision."""

    count: int = 0
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))

    def add(self, count: int, mean: NDArray[np.float32], variance: NDArray[np.float32]) -> None:
        """Add `count` values with this mean and variance."""
        total = self.count + count
        shift = mean.astype(np.float64) - self.mean
        self.squares = self.squares + variance.astype(np.float64) * count + shift**2 * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    @property
    def layer(self) -> Layer:
        """The mean and the variance over all values."""
        return self.mean.astype(np.float32), (self.squares / self.count).astype(np.float32)


def groups(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the images of `batches` in groups of `GROUP`, whatever their sizes; a last one of a single image joins the group before it."""
    held: Tensor | None = None
    for batch in batches:
        held = batch if held is None else torch.cat([held, batch])
        while len(held) > GROUP + 1:
            yield held[:GROUP]
            held = held[GROUP:]
    if held is not None and len(held):
        yield held


def _write(layer: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    assert layer.running_mean is not None and layer.running_var is not None
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)


def _array(values: Tensor | None) -> NDArray[np.float32]:
    assert values is not None
    return values.detach().float().cpu().numpy().copy()
