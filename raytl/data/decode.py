"""From any image file to one upright 8-bit RGB picture, or the reason why not."""

from __future__ import annotations

import io
import stat
import threading
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from raytl.store.open import fetched, in_bucket
from raytl.store.retry import retried

# EPS runs Ghostscript and many rare formats are parsed by code that few people test: only what photographs come in.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".ppm"}
    | {".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k"}
)
_OPENING = threading.Lock()
# Pillow warns of odd metadata in files that it reads all the same; on a terminal with a live bar that is noise.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadImage(ValueError):
    """A file that cannot be decoded; `reason` says why, without naming the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(source: bytes | str | Path, max_pixels: int) -> Image.Image:
    """The picture as RGB: turned upright (EXIF), 16 bits scaled to 8, alpha laid on white, first frame of several.

    Raises:
        BadImage: empty, truncated, not an image, or of more than `max_pixels` pixels.
    """
    data = source if isinstance(source, bytes) else read(source, max_pixels)
    if not data:
        raise BadImage("empty file (0 bytes)")
    try:
        return _upright_rgb(_opened(data, max_pixels))
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage(f"not an image (it begins with {data[:12]!r}); expected JPEG, PNG, WebP, TIFF ...") from None
    except Exception as exc:  # Pillow's parsers raise nearly anything on broken files
        raise BadImage(f"broken image ({type(exc).__name__}: {exc})") from exc


def read(path: str | Path, max_pixels: int) -> bytes:
    """The bytes of the file, or of the object where `path` is an s3:// URI.

    Raises:
        BadImage: it is missing, unreadable, no regular file, or far larger than an image of `max_pixels` can be.
        StoreError: the object cannot be fetched.
    """
    if in_bucket(path):
        return retried(lambda: fetched(str(path)))
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise BadImage("not a regular file")
        refuse_swollen(status.st_size, max_pixels)
        return Path(path).read_bytes()
    except OSError as exc:
        raise BadImage(f"cannot be read ({exc.strerror or exc})") from exc


def refuse_swollen(size: int, max_pixels: int) -> None:
    """Raises a BadImage for files far larger than an image of `max_pixels` can be."""
    if size > 16 * max_pixels + 2**24:
        raise BadImage(f"{size} bytes, more than an image of data.max_pixels {max_pixels} has")


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """The image with its header read and its size checked, pixels not yet decoded."""
    with _OPENING:  # Pillow's bound is a global: lifted for the header only, as max_pixels is checked right after
        bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(data), formats=_known_formats())
        finally:
            Image.MAX_IMAGE_PIXELS = bound
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width} x {height} pixels, more than data.max_pixels {max_pixels} (a decompression bomb?)")
    return image


def _known_formats() -> list[str]:
    """The accepted formats that this build of Pillow has."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    return _rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits (0..65535) or floats (0..1) as 8 bits: scaled, where Pillow's convert would clip."""
    values = np.asarray(image).astype(np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= top):
        raise BadImage(f"grey values from {low:g} to {high:g}; expected 0 to {top:g}: save it with 8 or 16 bits")
    return Image.fromarray(np.rint(values * (255.0 / top)).astype(np.uint8))
