"""Give the layers of a network the channels of a pruned saved model: pruning changes the shapes of tensors, not their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def fit_channels(module: nn.Module, state: Mapping[str, Tensor], head: Sequence[str] = ()) -> None:
    """Reduce each tensor of `module` to its shape in `state`; the values that remain are the first of each dimension.

    The outputs of the layers of `head`, which are classes, stay. A tensor that is larger in `state`, or of other dimensions,
    stays too: whoever loads `state` reports it.
    """
    for path, part in module.named_modules():
        prefix = f"{path}." if path else ""
        keeps_outputs = isinstance(part, nn.Linear | nn.Conv2d) and f"{prefix}weight" in head
        own = {**dict(part.named_parameters(recurse=False)), **dict(part.named_buffers(recurse=False))}
        slices = {
            name: reduced
            for name, tensor in own.items()
            if (reduced := _slice(tensor, state.get(prefix + name), keeps_outputs)) is not None
        }
        for name, reduced in slices.items():
            learns = isinstance(own[name], nn.Parameter)
            setattr(part, name, nn.Parameter(reduced, own[name].requires_grad) if learns else reduced)
        if slices:
            _describe(part)


def _slice(own: Tensor, given: Tensor | None, keeps_outputs: bool) -> Tensor | None:
    """Return a copy of `own` in the shape of `given`; None if it has that shape, or cannot have it."""
    if given is None or given.ndim != own.ndim:
        return None
    shape = (own.shape[0], *given.shape[1:]) if keeps_outputs else tuple(given.shape)
    if shape == tuple(own.shape) or any(
        not 0 < length <= whole for length, whole in zip(shape, own.shape, strict=True)
    ):
        return None
    return own.detach()[tuple(slice(length) for length in shape)].clone()


def _describe(part: nn.Module) -> None:
    """Set the channels that a layer states to those of its tensors; of a depthwise convolution, its groups too."""
    if isinstance(part, nn.Conv2d):
        is_depthwise, multiplier = part.groups == part.in_channels, part.out_channels // part.in_channels
        outputs, inputs = part.weight.shape[:2]
        part.groups = outputs // multiplier if is_depthwise and part.groups > 1 else part.groups
        part.out_channels, part.in_channels = outputs, inputs * part.groups
    elif isinstance(part, nn.Linear):
        part.out_features, part.in_features = part.weight.shape
    elif isinstance(part, _BatchNorm):
        lengths = (tensor for tensor in (part.running_mean, part.weight) if tensor is not None)
        part.num_features = next(len(tensor) for tensor in lengths)
    elif isinstance(part, nn.LayerNorm):
        part.normalized_shape = tuple(part.weight.shape)
    elif isinstance(part, nn.GroupNorm):
        part.num_channels = len(part.weight)
