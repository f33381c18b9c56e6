"""From the network's logits of a view to the class map of its photo."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raytl.data.class_maps import ClassMap
from raytl.data.transforms import Preprocess
from raytl.tasks import dense
from raytl.tasks.dense_task import Sizes
from raytl.tasks.objects import Limits
from raytl.tasks.segmentation.details import details
from raytl.tasks.task import Rows

_VALUES_AT_ONCE = 1 << 26
"""Values of an upsampled map of logits that are in memory at once: 256 MB."""


def predict(module: nn.Module, inputs: Tensor, sizes: Sizes, preprocess: Preprocess, limits: Limits) -> list[ClassMap]:
    """Return the class map of each image, `(height, width) uint8`."""
    return _maps(module(inputs), sizes, preprocess)


def detailed(
    module: nn.Module, inputs: Tensor, sizes: Sizes, preprocess: Preprocess, truths: Sequence[ClassMap], brief: bool
) -> tuple[list[ClassMap], Rows]:
    """Return the same, and the rows of `raytl.tasks.segmentation.details`."""
    logits: Tensor = module(inputs)
    return _maps(logits, sizes, preprocess), details(logits, sizes, preprocess, truths, brief)


def _maps(logits: Tensor, sizes: Sizes, preprocess: Preprocess) -> list[ClassMap]:
    return [_classes(view, size, preprocess) for view, size in zip(logits.float(), sizes, strict=True)]


def _classes(logits: Tensor, size: tuple[int, int], preprocess: Preprocess) -> ClassMap:
    """Return the most probable class at each pixel of the photo, from logits `(classes, h, w)` of its view."""
    width, height = size
    rows = max(1, _VALUES_AT_ONCE // (width * len(logits)))
    parts = [
        dense.map_in_photo(logits, size, preprocess, (top, 0, min(top + rows, height), width)).argmax(dim=0)
        for top in range(0, height, rows)
    ]
    return torch.cat(parts).to(torch.uint8).cpu().numpy()
