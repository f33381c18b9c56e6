"""Measure, on training images alone, what images of other than three channels are scaled and normalized by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import DataConfig
from raytl.cpus import usable_cpus
from raytl.data.bit_depth import BitDepth, SetDepth, above
from raytl.data.channel_values import Range
from raytl.data.decode import BadImage, loaded
from raytl.data.manifest import Sample
from raytl.errors import DataError
from raytl.events import OnEvent, Work, ignore, throttled
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

MAX_IMAGES = 2000
"""Images that are measured; of larger sets, evenly spaced ones."""
_PIXELS = 1 << 20
_MIN_PIXELS = 64
"""Pixels of all images together, and the fewest of one: on a grid."""
_PERCENTILES = (0.1, 99.9)
_LEAST_STD = 1 / 255
_BYTES = (0.0, 255.0)
Values = NDArray[np.float32]


def channel_depth(
    train: Sequence[Sample],
    channels: int,
    config: DataConfig,
    on_event: OnEvent = ignore,
    s3: S3Settings = ENVIRONMENT,
) -> SetDepth:
    """Return the ranges, mean and deviation of each channel of the training images.

    Raises:
        DataError: an image became unreadable.
    """
    count = min(len(train), MAX_IMAGES)
    chosen = [train[i * len(train) // count] for i in range(count)]
    pixels, report = max(_MIN_PIXELS, _PIXELS // max(1, count)), throttled(on_event, first_s=0)
    parts, are_bytes = [], True
    with ThreadPoolExecutor(usable_cpus()) as pool:
        read = pool.map(lambda sample: _grid(sample.path, channels, config.max_pixels, pixels, s3), chosen)
        for done, (part, is_bytes) in enumerate(read, start=1):
            parts.append(part)
            are_bytes = are_bytes and is_bytes
            report(Work("measuring the channels", done, count))
    depth = depth_of(np.concatenate(parts), config.value_range, are_bytes=are_bytes)
    images = f"{count:,} of {len(train):,}" if count < len(train) else f"{count:,}"
    return SetDepth(depth, f"{channels} channels, measured on {images} training images", _flat(depth))


def depth_of(values: Values, given: Range | Sequence[Range] | None, *, are_bytes: bool) -> BitDepth:
    """Return the depth of channels from pixels `(n, channels)` of the training images; of bytes, the ranges are 0 to 255."""
    channels = values.shape[1]
    if isinstance(given, list):
        ranges = tuple(given)
    elif given is not None:
        ranges = ((float(given[0]), float(given[1])),) * channels  # type: ignore[arg-type]
    else:
        ranges = (_BYTES,) * channels if are_bytes else _percentiles(values)
    low, high = np.array(ranges).T
    unit = ((values - low) / (high - low)).clip(0.0, 1.0)
    mean, std = unit.mean(axis=0), unit.std(axis=0).clip(min=_LEAST_STD)
    return BitDepth(ranges=ranges, mean=_rounded(mean), std=_rounded(std))


def _percentiles(values: Values) -> tuple[Range, ...]:
    low, high = np.percentile(values.astype(np.float64), _PERCENTILES, axis=0)
    return tuple((a, b if b > a else above(a)) for a, b in zip(_rounded(low), _rounded(high), strict=True))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return values with six digits, which are the same on every machine."""
    return tuple(float(f"{value:.6g}") for value in values.tolist())


def _flat(depth: BitDepth) -> tuple[str, ...]:
    places = [str(i) for i, std in enumerate(depth.std, start=1) if std <= _LEAST_STD * 1.001]
    if not places:
        return ()
    return (
        f"channels that are nearly constant on the training images: {', '.join(places)} (the first is 1). Leave them out, or set "
        "data.value_range",
    )


def _grid(path: str, channels: int, max_pixels: int, pixels: int, s3: S3Settings) -> tuple[Values, bool]:
    """Return about so many pixels of an image, `(n, channels)`, and whether it has 8 bits."""
    try:
        with loaded(path, max_pixels, s3, channels) as picture:
            assert picture.channels is not None, "read as channels"
            values: NDArray[Any] = picture.channels.values
            step = max(1, math.isqrt(values.shape[0] * values.shape[1] // pixels))
            part = values[step // 2 :: step, step // 2 :: step].reshape(-1, channels)
            return part.astype(np.float32), values.dtype == np.uint8
    except BadImage as exc:
        raise DataError(f"{path}: {exc}; it was readable when the data was audited. Restore the file") from exc
