"""Adapt the normalization of a trained network to images of another domain (AdaBN, alpha-BN, TENT)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from raytl.adaptation.entropy import affine_parameters, minimize_entropy
from raytl.adaptation.statistics import MEASURED, measured_statistics, norm_layers, set_statistics
from raytl.config.adapt import AFTER_TRAINING, TENT, AdaptConfig
from raytl.errors import ConfigError

LEARNED = 4096
"""Images of the domain from which `tent` learns, at most."""
Views = Callable[[int], Iterator[Tensor]]
"""Returns normalized batches of at most so many images of the domain, the same each time."""


def check_adaptable(name: str, module: nn.Module, method: str) -> None:
    """Check that a method after training has something to change in the network `name`; accept all other methods.

    Raises:
        ConfigError: it has no normalization layers of the kind that the method needs.
    """
    if method not in AFTER_TRAINING:
        return
    if method == TENT and not affine_parameters(module):
        raise ConfigError(
            f"adapt.method: {name} has no BatchNorm, LayerNorm or GroupNorm with a scale and a shift, which tent trains; "
            "expected some. Set it to centroids, coral, mmd or dann"
        )
    if method != TENT and not norm_layers(module):
        raise ConfigError(
            f"adapt.method: {name} has no BatchNorm, whose statistics {method} replaces; expected some. "
            "Set it to tent, which trains other normalization layers too, or to centroids, coral, mmd or dann"
        )


def adapt_network(module: nn.Module, views: Views, config: AdaptConfig) -> bool:
    """Adapt `module`, in evaluation mode, to the images of `views`; return whether all its tensors are finite.

    Statistics come first: those of the images, `config.alpha` parts of them to `1 - alpha` of the network's own.
    """
    if norm_layers(module):
        set_statistics(module, measured_statistics(module, views(MEASURED), config.alpha))
    if config.method == TENT:
        minimize_entropy(module, lambda: views(LEARNED), config.tent.lr, config.tent.passes)
    return all(bool(tensor.isfinite().all()) for tensor in module.state_dict().values())


def changes_of(config: AdaptConfig, module: nn.Module) -> str:
    """Return what the method of `config` changes in `module`, for messages; alpha is of BatchNorm alone."""
    settings = [f"alpha {config.alpha:g}"] if norm_layers(module) else []
    settings += [f"rate {config.tent.lr:g}", f"passes {config.tent.passes}"] if config.method == TENT else []
    return f"adapt.method {config.method} ({', '.join(settings)})"
