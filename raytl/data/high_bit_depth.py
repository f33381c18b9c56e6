"""Read images of more than 8 bits per sample at full precision, and scale them to 8 bits by their actual depth."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from raytl.data import png, tiff
from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import MAX_BITS, MIN_BITS, BitDepth, Levels, top_value
from raytl.data.exif_orientation import apply_orientation

Samples = NDArray[np.uint16]
_COLOUR_16 = re.compile(r"^(RGB|RGBA|RGBX);16([LBN])$")
_NATIVE = "L" if sys.byteorder == "little" else "B"


@dataclass(frozen=True)
class HighBitDepthImage:
    """The samples of a file: `(height, width)` gray, or with a last axis of 2 (gray and alpha), 3 (RGB) or 4 (RGBA)."""

    samples: Samples
    levels: Levels
    white_is_zero: bool = False

    def scaled(self, depth: BitDepth) -> Image.Image:
        """Return the 8-bit image; values above the range of the depth are clipped."""
        pixels = _table(depth.of(self.levels), self.white_is_zero)[self.samples]
        mode = {2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]] if pixels.ndim == 3 else "L"
        return Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())


def read_high_bit_depth(
    image: ImageFile, data: bytes, opened: Callable[[bytes], ImageFile]
) -> HighBitDepthImage | None:
    """Return the samples of an opened file above 8 bits; None for an 8-bit file, whose pixels are not decoded yet.

    `opened` opens other bytes as an image.

    Raises:
        BadImage: values do not fit into 16 bits.
    """
    declared, white_is_zero = _declared(image)
    samples = _samples(image, data, opened)
    if samples is None:
        return None
    color = samples[..., :-1] if samples.ndim == 3 and samples.shape[2] in (2, 4) else samples
    top = int(color.max())
    if image.format == "PNG" and (bits := min(png.significant_bits(data), MAX_BITS)):
        declared = MAX_BITS if is_stretched(color, bits) else max(bits, MIN_BITS)
    if top > top_value(declared):  # contradicted by its own values
        declared = 0
    return HighBitDepthImage(samples, Levels(max(top, 1), declared), white_is_zero)


def is_stretched(samples: Samples, bits: int) -> bool:
    """Return whether samples of `bits` significant bits were shifted or scaled to 16, as the PNG specification requires.

    Some cameras write the same sBIT and leave the values unscaled.
    """
    shift = MAX_BITS - bits
    original = samples >> shift
    shifted = original << shift
    scaled = np.rint(original * (top_value(MAX_BITS) / top_value(bits)))
    repeated = shifted | (original >> max(bits - shift, 0))
    return bool(((samples == shifted) | (samples == scaled) | (samples == repeated)).all())


def _declared(image: ImageFile) -> tuple[int, bool]:
    """Return the bits that the header declares (0 = none), and whether zero means white."""
    if (found := tiff.tags_of(image)) is not None:
        return tiff.declared_bits(found), tiff.white_is_zero(found)
    args = image.tile[0].args if image.format == "PPM" else None
    # Pillow scales by the header's largest value; writers put 65535 whatever the detector
    if isinstance(args, tuple) and args[-1] != top_value(MAX_BITS):
        return MAX_BITS, False
    return 0, False


def _samples(image: ImageFile, data: bytes, opened: Callable[[bytes], ImageFile]) -> Samples | None:
    if image.mode.startswith("I"):
        return _gray(image)
    if png.is_gray_alpha_16(data):
        return _joined(np.asarray(apply_orientation(opened(png.bytes_as_bands(data)))))
    if image.mode in ("RGB", "RGBA") and image.tile and _COLOUR_16.match(_rawmode(image.tile[0].args)):
        low = opened(data)
        low.tile = [tile._replace(args=_other_byte(tile.args)) for tile in low.tile]
        halves = [np.asarray(apply_orientation(half)) for half in (image, low)]
        return _joined(np.stack(halves, axis=-1).reshape(*halves[0].shape[:2], -1))
    return None


def _gray(image: Image.Image) -> Samples:
    values = np.asarray(apply_orientation(image))
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > top_value(MAX_BITS):
        found = tiff.tags_of(image)
        kind = tiff.kind(found) if found is not None else "gray"
        raise BadImage(
            f"{kind} with values from {low} to {high}; expected 0 to {top_value(MAX_BITS)}. Save it as unsigned 16 bits"
        )
    return values.astype(np.uint16)


def _joined(pairs: NDArray[np.uint8]) -> Samples:
    """Return the samples of `(height, width, 2 x bands)`: the high and the low byte of each band."""
    high: Samples = pairs[..., ::2].astype(np.uint16)
    return (high << np.uint16(8)) | pairs[..., 1::2]


def _other_byte(args: Any) -> Any:
    """Return a decoder's arguments that take the low byte of 16 bits where these take the high one, as Pillow does."""
    bands, order = _rawmode(args).split(";16")
    other = f"{bands};16{'B' if (_NATIVE if order == 'N' else order) == 'L' else 'L'}"
    return (other, *args[1:]) if isinstance(args, tuple) else other


def _rawmode(args: Any) -> str:
    return str(args[0] if isinstance(args, tuple) and args else args)


@cache
def _table(bits: int, white_is_zero: bool) -> NDArray[np.uint8]:
    """Return the lookup table from 16-bit to 8-bit values."""
    top = top_value(bits)
    scaled = np.rint(np.arange(2**MAX_BITS).clip(max=top) * (255 / top)).astype(np.uint8)
    return 255 - scaled if white_is_zero else scaled
