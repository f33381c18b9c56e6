"""Check photos that are passed as images or arrays, and say what is wrong with others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import RGB
from raytl.data.channel_values import ChannelValues, refuse_nonfinite, refuse_samples
from raytl.errors import DataError, UserError
from raytl.evaluation.photos import Photo, too_large


def photo_in_memory(item: Any, position: int, max_pixels: int, channels: int = RGB) -> Photo:
    """Return an image or an array as a photo.

    Raises:
        UserError: it is neither, or an array of another shape or type.
        DataError: it has too many pixels, or values that are not finite.
    """
    if isinstance(item, Image.Image):
        return item
    if not isinstance(item, np.ndarray):
        raise UserError(f"photo {position}: {unknown_photo(item)}")
    if channels != RGB:
        return _channel_values(item, position, max_pixels, channels)
    if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3 or 0 in item.shape:
        raise UserError(
            f"photo {position}: found an array {item.shape} of {item.dtype}; expected (height, width, 3) of uint8 in RGB "
            f"order. {_array_advice(item)}"
        )
    if fault := too_large(
        item.shape[1], item.shape[0], max_pixels
    ):  # before it is copied: a view may be far larger than memory
        raise DataError(f"photo {position}: {fault}")
    return Image.fromarray(np.ascontiguousarray(item))


def _channel_values(item: NDArray[Any], position: int, max_pixels: int, channels: int) -> ChannelValues:
    if item.dtype.kind not in "uif" or item.ndim != 3 or item.shape[2] != channels or 0 in item.shape:
        raise UserError(
            f"photo {position}: found an array {item.shape} of {item.dtype}; expected (height, width, {channels}) of integers or "
            "floats, as the model reads"
        )
    try:
        refuse_samples(item.shape[1], item.shape[0], channels, max_pixels)
        refuse_nonfinite(item)
    except BadImage as bad:
        raise DataError(f"photo {position}: {bad}") from None
    return ChannelValues(item)


def _array_advice(array: NDArray[Any]) -> str:
    if array.ndim == 4:
        return "Pass a batch as list(array)."
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        return "Move the channels to the end: array.transpose(1, 2, 0)."
    if array.ndim == 2:
        return "Repeat gray values: np.stack([array] * 3, axis=-1)."
    return "Scale floats: (255 * array).round().astype(np.uint8)." if array.dtype.kind == "f" else "Convert it first."


def unknown_photo(item: Any) -> str:
    """Return the fault of something that is no photo."""
    kind = f"{type(item).__module__}.{type(item).__qualname__}".removeprefix("builtins.")
    advice = ". Convert a tensor first: tensor.permute(1, 2, 0).numpy()" if is_tensor(item) else ""
    return f"found {kind}; expected a path, an s3:// URI, a PIL image, a numpy array, or a list of those{advice}"


def is_tensor(item: Any) -> bool:
    """Return whether it is a tensor of torch."""
    return isinstance(item, torch.Tensor)
