"""Give the layers of a network the channels of a pruned saved model: pruning changes the shapes of tensors, not their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raytl.data.transforms import Preprocess
from raytl.errors import ModelError, first_line


def fit_channels(module: nn.Module, state: Mapping[str, Tensor], head: Sequence[str] = ()) -> None:
    """Reduce each tensor of `module` to its shape in `state`; the values that remain are the first of each dimension.

    The outputs of the layers of `head`, which are classes, stay. A tensor that is larger in `state`, or of other dimensions or
    kernels, stays too: whoever loads `state` reports it.
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


def check_answers(module: nn.Module, preprocess: Preprocess, classes: int, where: str) -> None:
    """Check that a network with the channels of a pruned model answers an image with `classes` numbers: tensors that load one by
    one may not fit each other.

    Raises:
        ModelError: it does not; the error begins with `where`.
    """
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            answers = module(torch.zeros(1, preprocess.channels, *preprocess.view_size))
        problem = "" if answers.shape == (1, classes) else f"it answers an image with shape {tuple(answers.shape)}"
    except Exception as error:  # layers raise errors of many kinds
        problem = first_line(error)[:200]
    finally:
        module.train(was_training)
    if problem:
        raise ModelError(
            f"{where} has the channels of no network that answers with {classes} classes ({problem}); expected a pruned model. "
            "Copy it again, or prune it again"
        )


def _slice(own: Tensor, given: Tensor | None, keeps_outputs: bool) -> Tensor | None:
    """Return a copy of `own` in the shape of `given`; None if it has that shape, or cannot have it."""
    if given is None or given.ndim != own.ndim or given.shape[2:] != own.shape[2:]:
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
