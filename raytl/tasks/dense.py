"""Share the frame of views and the way back to photos among detection, segmentation and instance segmentation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.placement import Placement
from raytl.data.transforms import Preprocess, eval_placement, prepared_placement
from raytl.errors import ConfigError
from raytl.models import backbone
from raytl.store.s3_settings import S3Settings

FRAME_PX = 512
"""Side of the views if `model.preprocess.image_px` is not set."""
Window = tuple[int, int, int, int]
"""Top, left, bottom and right of a part of a photo."""


def preprocess(config: ModelConfig, s3: S3Settings) -> Preprocess:
    """Return the preprocessing of `config` with images fitted whole into a frame, which need not be square.

    Raises:
        ModelError: the name is unknown, the weights are missing, or an override cannot take effect.
    """
    own = backbone.preprocess_of(config.model_copy(update={"preprocess": PreprocessOverride()}), s3)
    framed = own if own.frame is not None else own.fit((FRAME_PX, FRAME_PX))
    return backbone.overridden(framed, config.preprocess)


def head_of(task: str, heads: Iterable[str], config: ModelConfig) -> str:
    """Return the head of `config`, or the first of `heads`, those of `task`.

    Raises:
        ConfigError: it is not one of them.
    """
    names = tuple(heads)
    head = config.head or names[0]
    if head not in names:
        raise ConfigError(f"model.head: {task} has no head {head!r}; expected {', '.join(names)}")
    return head


def boxes_in_photo(boxes: NDArray[np.float32], size: tuple[int, int], preprocess: Preprocess) -> NDArray[np.float32]:
    """Return `boxes (n, 4)` of an evaluation view in the pixels of its upright photo of `size` (width, height)."""
    width, height = size
    placement = eval_placement(width, height, preprocess).inverse((height, width))
    return placement.boxes(boxes)[0].astype(np.float32)


def map_in_photo(values: Tensor, size: tuple[int, int], preprocess: Preprocess, window: Window | None = None) -> Tensor:
    """Return `values (c, h, w)` of an evaluation view at the pixels of its photo, `(c, height, width)`, by bilinear interpolation.

    With a `window`, only that part of the photo is computed.
    """
    width, height = size
    top, left, bottom, end = window or (0, 0, height, width)
    y, x = _places(eval_placement(width, height, preprocess), range(top, bottom), range(left, end))
    filled = prepared_placement(width, height, preprocess).size
    rows, columns = values.shape[-2:]
    ratio = (rows / preprocess.view_size[0], columns / preprocess.view_size[1])
    y, x = (np.clip(at, 0.5, side - 0.5) * r for at, side, r in zip((y, x), filled, ratio, strict=True))
    grid = np.empty((1, len(y), len(x), 2), dtype=np.float32)
    grid[..., 0], grid[..., 1] = x * (2 / columns) - 1, (y * (2 / rows) - 1)[:, None]
    at = torch.from_numpy(grid).to(values.device)
    return functional.grid_sample(
        values[None].float(), at, mode="bilinear", padding_mode="border", align_corners=False
    )[0]


def _places(placement: Placement, rows: range, columns: range) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the y of the centers of these rows of a photo in its view, and the x of its columns."""
    (a, _, c), (_, e, f) = placement.matrix
    y = e * (np.arange(rows.start, rows.stop, dtype=np.float64) + 0.5) + f
    x = a * (np.arange(columns.start, columns.stop, dtype=np.float64) + 0.5) + c
    return y, x
