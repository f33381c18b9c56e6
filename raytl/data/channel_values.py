"""Values of images that are more than 8-bit RGB: floats, DICOM, and 2 to 16 channels; scaled to 8 bits by ranges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import RGB, UNIT_RANGE, BitDepth, Levels

Range = tuple[float, float]


@dataclass(frozen=True)
class ChannelValues:
    """The values of a file, `(height, width, channels)` of integers or floats.

    One channel is grey, three are RGB, of which bytes stay as they are. `window` is the center and width of a grey DICOM file, and
    with `is_inverted` its low values are white.
    """

    values: NDArray[Any]
    window: Range | None = None
    is_inverted: bool = False

    @property
    def levels(self) -> Levels:
        """Return the smallest and the largest value of floats that are scaled by one range, for the range of a set."""
        if not self.has_set_range:
            return Levels()
        return Levels(low=float(self.values.min()), high=float(self.values.max()))

    @property
    def has_set_range(self) -> bool:
        """Return whether these are floats that are scaled by the one range of a set."""
        return self.values.dtype.kind == "f" and self.values.shape[2] in (1, RGB) and self.window is None

    def scaled(self, depth: BitDepth) -> NDArray[np.uint8]:
        """Return the values as 8 bits, `(height, width, channels)`; those outside of the ranges are black or white.

        Raises:
            BadImage: floats are outside of 0 to 1, and the depth has no range for them.
        """
        count = self.values.shape[2]
        if self.window is not None:
            return self._turned(windowed(self.values, depth.window or self.window))
        if self.values.dtype == np.uint8 and count in (1, RGB):
            return self.values
        ranges = depth.ranges or (UNIT_RANGE,)
        if not depth.ranges:
            self._check_unit()
        return self._turned(scaled(self.values, ranges if len(ranges) == count else ranges[:1] * count))

    def mean_gray(self) -> Image.Image:
        """Return the mean of the channels as gray, each from its lowest to its highest value in this image."""
        low, high = self.values.min(axis=(0, 1)).astype(float), self.values.max(axis=(0, 1)).astype(float)
        ranges = [(a, b if b > a else a + 1.0) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
        return Image.fromarray(scaled(self.values, ranges).mean(axis=2).astype(np.uint8))

    def _turned(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return 255 - pixels if self.is_inverted else pixels

    def _check_unit(self) -> None:
        low, high = float(self.values.min()), float(self.values.max())
        if not (low >= 0.0 and high <= 1.0):
            raise BadImage(
                f"floats with values from {low:g} to {high:g}; expected 0 to 1. Set data.value_range, or save it with 8 or 16 bits"
            )


@dataclass(frozen=True)
class ChannelFile:
    """A file whose header was read and whose cost was checked: `read` decodes it, with up to `peak_bytes` of memory."""

    peak_bytes: int
    read: Callable[[], ChannelValues]


def scaled(values: NDArray[Any], ranges: Sequence[Range]) -> NDArray[np.uint8]:
    """Return `(h, w, c)` values as bytes: of each channel, the ends of its range become 0 and 255."""
    if values.dtype == np.uint8 and all(ends == (0, 255) for ends in ranges):
        return values
    result = np.empty(values.shape, np.uint8)
    for i, (low, high) in enumerate(ranges):
        part = values[..., i].astype(np.float64)
        part -= low
        part *= 255.0 / (high - low)
        result[..., i] = np.rint(part.clip(0.0, 255.0, out=part), out=part)
    return result


def windowed(values: NDArray[Any], window: Range) -> NDArray[np.uint8]:
    """Return values as bytes by a DICOM window, its center and width: the linear function of DICOM PS3.3 C.11.2.1.2.1."""
    center, width = window
    part = values.astype(np.float64)
    part -= center - 0.5
    part /= max(width - 1.0, 1e-9)
    part += 0.5
    part *= 255.0
    return np.rint(part.clip(0.0, 255.0, out=part), out=part).astype(np.uint8)


def refuse_nonfinite(values: NDArray[Any]) -> None:
    """Raise a BadImage for floats with NaN or infinite values."""
    if values.dtype.kind == "f" and (wrong := values.size - int(np.isfinite(values).sum())):
        raise BadImage(
            f"{wrong:,} of {values.size:,} values are NaN or infinite; expected numbers. Fill them (np.nan_to_num), or set "
            "data.on_bad_image: skip"
        )


def refuse_channels(channels: int, expected: int) -> None:
    """Raise a BadImage for an image with another number of channels."""
    if channels != expected:
        raise BadImage(
            f"an image of {channels} channel{'s' if channels != 1 else ''}; expected {expected} (model.channels). Save it with "
            f"{expected}, or train with its number"
        )


def refuse_samples(width: int, height: int, channels: int, max_pixels: int) -> None:
    """Raise a BadImage for an image with more values than an RGB image of `max_pixels` has."""
    if width * height * channels > RGB * max_pixels:
        raise BadImage(
            f"{width} x {height} pixels of {channels} channels, more than data.max_pixels {max_pixels} (three channels count as "
            "one pixel); raise it for larger images"
        )


def visible_image(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return what people see of `(h, w, c)` pixels: grey, RGB, or the first three channels; of two, magenta and green."""
    count = pixels.shape[2]
    if count == 1:
        return Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    return Image.fromarray(np.ascontiguousarray(pixels if count == RGB else pixels[..., list(seen_channels(count))]))


def seen_channels(count: int) -> tuple[int, int, int]:
    """Return the channels that people see as red, green and blue: the first three; of two, magenta and green, which color-blind
    readers can tell apart."""
    return (0, 1, 0) if count < RGB else (0, 1, 2)
