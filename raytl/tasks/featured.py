"""A network whose forward pass also returns the features of its images, so that one graph has both."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from raytl.errors import ModelError
from raytl.models.probe import head_layer, pooled_inputs
from raytl.tasks.saved import Saved


class Featured(nn.Module):
    """The network of `saved`; it returns its outputs and the features `(b, d) float32` of `raytl.tasks.watched.FeatureWatch`.

    Raises:
        ModelError: the network has neither maps nor a linear layer at its end.
    """

    def __init__(self, saved: Saved) -> None:
        super().__init__()
        self.network = saved.module
        self._maps = isinstance(getattr(saved.module, "pyramid", None), nn.Module)
        self._layer = "pyramid" if self._maps else _head_path(saved)

    def forward(self, views: Tensor) -> tuple[Any, Tensor]:
        """Return the outputs and the features of normalized `views (b, 3, h, w)`."""
        layer, seen = self.network.get_submodule(self._layer), list[Tensor]()
        if self._maps:
            hook = layer.register_forward_hook(lambda _, given, maps: seen.append(maps[-1]))
        else:
            hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            outputs = self.network(views)
        finally:
            hook.remove()
        return outputs, _pooled_map(seen[-1]) if self._maps else pooled_inputs(layer, seen[-1])  # type: ignore[arg-type]


def _head_path(saved: Saved) -> str:
    try:
        layer = head_layer(saved.backbone)
    except ModelError as error:
        raise ModelError(
            f"{saved.backbone.name} cannot be exported: its head has no linear layer, so its images have no features"
        ) from error
    path: str = next(name for name, part in saved.module.named_modules() if part is layer)
    return path


def _pooled_map(values: Tensor) -> Tensor:
    return values.float().flatten(2).mean(2) if values.ndim > 2 else values.float()
