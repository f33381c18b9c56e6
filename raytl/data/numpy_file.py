"""Read arrays of channels from .npy files; nothing in them is unpickled."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import MAX_CHANNELS
from raytl.data.channel_values import (
    ChannelFile,
    ChannelValues,
    refuse_channels,
    refuse_nonfinite,
    refuse_samples,
)

_MAGIC = b"\x93NUMPY"


def is_array(data: bytes) -> bool:
    """Return whether the first bytes are those of an .npy file."""
    return data.startswith(_MAGIC)


def opened(data: bytes, channels: int, max_pixels: int) -> ChannelFile:
    """Return the array with its header checked: `(height, width, channels)`, or with the channels first.

    Raises:
        BadImage: it is not such an array, or has more values than allowed.
    """
    shape, dtype, start = _header(data)
    if len(shape) != 3 or dtype.kind not in "uif" or dtype.itemsize > 8:
        raise BadImage(f"an array {shape} of {dtype}; expected (height, width, {channels}) of integers or floats")
    is_first = shape[2] != channels and _has_channels_first(shape)
    height, width, count = (shape[1], shape[2], shape[0]) if is_first else shape
    refuse_channels(count, channels)
    if min(shape) < 1:
        raise BadImage(f"an array {shape}; expected at least 1 x 1 pixels")
    refuse_samples(width, height, count, max_pixels)
    size = height * width * count * dtype.itemsize
    if len(data) - start < size:
        raise BadImage(f"a truncated array: {len(data) - start:,} bytes of {size:,}; expected a complete file")
    return ChannelFile(2 * size + 10 * height * width, lambda: _read(data, is_first))


def size_of(data: bytes) -> tuple[int, int]:
    """Return the (width, height) of an array of channels.

    Raises:
        BadImage: it is not one.
    """
    shape, _, _ = _header(data)
    if len(shape) != 3:
        raise BadImage(f"an array {shape}; expected (height, width, channels)")
    return (shape[2], shape[1]) if _has_channels_first(shape) else (shape[1], shape[0])


def _has_channels_first(shape: tuple[int, ...]) -> bool:
    return shape[0] <= MAX_CHANNELS < shape[2]


def _header(data: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return the shape, the type and where the values begin."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except Exception as error:  # a broken header raises nearly anything
        raise BadImage(f"a broken array ({type(error).__name__}); expected a file of numpy.save") from error
    return shape, dtype, stream.tell()


def _read(data: bytes, is_first: bool) -> ChannelValues:
    values = np.load(io.BytesIO(data), allow_pickle=False)
    values = np.moveaxis(values, 0, 2) if is_first else values
    refuse_nonfinite(values)
    return ChannelValues(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False)))
