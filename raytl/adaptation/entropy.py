"""Train the normalization of a network to answer with certainty on images of another domain (TENT, Wang et al. 2021).

Only the affine parameters of BatchNorm learn, or those of LayerNorm and GroupNorm where there is no BatchNorm. The statistics
of BatchNorm stay as they are, so the network that learns is the one that is used afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from raytl.adaptation.statistics import groups, norm_layers

_PART = 16
"""Images in one pass: the gradients of a group are summed over its passes, so that its size needs no memory."""


def affine_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Return the scales and shifts of the BatchNorm layers of `module`; without any, of its LayerNorm and GroupNorm layers."""
    layers: list[nn.Module] = [layer for _, layer in norm_layers(module)]
    if not layers:
        layers = [layer for layer in module.modules() if isinstance(layer, nn.LayerNorm | nn.GroupNorm)]
    return [parameter for layer in layers for parameter in layer.parameters(recurse=False)]


def minimize_entropy(module: nn.Module, views: Callable[[], Iterable[Tensor]], lr: float, passes: int) -> None:
    """Train the affine parameters of `module`, in evaluation mode, to minimize the entropy of its answers; all others stay.

    `views` gives normalized batches `(n, channels, h, w)` of any sizes; each step of Adam takes 64 images of them.

    Raises:
        ValueError: there is nothing that could learn.
    """
    parameters = affine_parameters(module)
    if not parameters:
        raise ValueError("the network has no normalization layer with a scale and a shift")
    optimizer = torch.optim.Adam(parameters, lr=lr)
    with _only_learning(module, parameters):
        for _ in range(passes):
            for group in groups(views()):
                for part in group.split(_PART):
                    (entropies(module(part)).sum() / len(group)).backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)


def entropies(logits: Tensor) -> Tensor:
    """Return the entropy of each answer, `(n,)`, from logits `(n, classes)`, in nats."""
    logs = logits.float().log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1)


@contextmanager
def _only_learning(module: nn.Module, parameters: list[nn.Parameter]) -> Iterator[None]:
    """Put `module` into evaluation mode with gradients for `parameters` alone, until the context ends."""
    was_training, learned = module.training, [part.requires_grad for part in module.parameters()]
    module.eval().requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            yield
    finally:
        module.train(was_training)
        for part, wanted in zip(module.parameters(), learned, strict=True):
            part.requires_grad_(wanted)
