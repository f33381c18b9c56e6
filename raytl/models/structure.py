"""Divide a network into stages by its structure alone: for torchvision, and for timm models without `group_matcher`.

The trunk is flattened into units in order. A new stage begins at a unit that downsamples (a convolution or pool of
stride 2 or more, or Swin's patch merging) and at the first block, but only where the stage before holds parameters.
A trunk that never downsamples above its stem (ViT) has a stage for each block. torchvision's head is its last linear
layer (SqueezeNet's last convolution); other layers of the classifier join the top stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from raytl.models.stages import Layout, divide, is_under

_TRUNKS = ("features", "trunk_output", "layers", "blocks", "encoder", "stages", "transformers", "dense_stages")
_WEIGHTED = (nn.Conv2d, nn.Linear, nn.MultiheadAttention)

Unit = tuple[str, nn.Module]


def layout_of(module: nn.Module, head: Sequence[str]) -> Layout:
    """Return the stages of `module` by its structure, without the modules at the paths `head`.

    Tensors of the containers themselves (class tokens, position embeddings) belong to the stem.
    """
    starts = _starts(list(units(module, head)))
    names = [n for n, _ in module.named_parameters()] + [n for n, _ in module.named_buffers()]
    return divide(module, {name: _stage(name, starts) for name in names if not is_under(name, head)})


def head_path(module: nn.Module) -> str:
    """Return the path of the last linear layer, or of the last convolution if the top child has no linear layer."""
    children = [(n, c) for n, c in module.named_children() if any(True for _ in c.parameters())]
    name, top = children[-1]
    inner = [(f"{name}.{n}" if n else name, m) for n, m in top.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    linear = [n for n, m in inner if isinstance(m, nn.Linear)]
    return linear[-1] if linear else inner[-1][0]


def units(parent: nn.Module, head: Sequence[str], prefix: str = "") -> Iterator[Unit]:
    """Yield the parts of the trunk in order, with containers expanded and without the head."""
    for name, child in parent.named_children():
        path = f"{prefix}{name}"
        if path in head:
            continue
        if name in _TRUNKS or any(is_under(part, [path]) for part in head):
            yield from units(child, head, f"{path}.")
        else:
            yield path, child


def _starts(units: Sequence[Unit]) -> list[tuple[str, int]]:
    """Return the path of each unit with its stage number."""
    isotropic = not any(_downsamples(unit) for _, unit in units[1:])
    starts: list[tuple[str, int]] = []
    stage, held, blocks = 0, False, 0
    for path, unit in units:
        block = is_block(unit)
        opens = _downsamples(unit) or (block and (isotropic or not blocks))
        if opens and held:
            stage, held = stage + 1, False
        held = held or any(True for _ in unit.parameters())
        blocks += block
        starts.append((path, stage))
    return starts


def _stage(name: str, starts: Sequence[tuple[str, int]]) -> int:
    return next((stage for path, stage in starts if is_under(name, [path])), 0)


def is_block(unit: nn.Module) -> bool:
    """Return True for two or more layers with weights: residual blocks, fire modules, encoder layers."""
    return sum(isinstance(m, _WEIGHTED) for m in unit.modules()) > 1


def _downsamples(unit: nn.Module) -> bool:
    return any(
        type(m).__name__.startswith("PatchMerging")
        or (isinstance(m, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) and _stride(m) > 1)
        for m in unit.modules()
    )


def _stride(layer: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) -> int:
    stride = layer.stride
    return stride if isinstance(stride, int) else max(stride)
