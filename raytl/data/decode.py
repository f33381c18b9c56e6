"""From any image file to one upright 8-bit RGB picture, or the reason why not."""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from raytl.data import heif, tiff
from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth, Levels
from raytl.data.exif_orientation import apply_orientation
from raytl.data.headers import refuse_costly, refuse_pixels
from raytl.data.high_bit_depth import HighBitDepthImage, read_high_bit_depth
from raytl.data.jpeg import markers, with_end
from raytl.data.pillow_pixel_limit import pixel_limit_lifted
from raytl.data.pixel_memory import bytes_a_pixel, reserved
from raytl.data.png import pixels_only
from raytl.errors import TooLarge
from raytl.store.open import fetched
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket

__all__ = ["IMAGE_SUFFIXES", "BadImage", "Picture", "decode", "draft", "load", "loaded", "read", "refuse_oversized"]

# EPS runs Ghostscript and many rare formats are parsed by code that few people test: only what photographs come in.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000", heif.FORMAT)
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".ppm"}
    | {".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k"}
)
_BEFORE = b"\r\n \t\xef\xbb\xbf"
"""What a web server's script writes before a file by mistake: no image format begins with any of it."""
_ORIENTATION = 274
_REGISTERING = threading.Lock()
# Pillow warns of odd metadata in files that it reads all the same; on a terminal with a live bar that is noise.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Picture:
    """A decoded file, upright: an `image` of 8 bits, or the samples of a `deep` one that a bit depth has to scale."""

    image: Image.Image | None
    deep: HighBitDepthImage | None = None

    @property
    def levels(self) -> Levels:
        """What its values say about its bit depth."""
        return self.deep.levels if self.deep else Levels()

    def rgb(self, depth: BitDepth = SIXTEEN_BITS) -> Image.Image:
        """Return it as RGB of 8 bits, alpha laid on white."""
        image = self.deep.scaled(depth) if self.deep else self.image
        assert image is not None, "a picture has an image or samples"
        return _rgb(image)


def decode(
    source: bytes | str | Path, max_pixels: int, depth: BitDepth = SIXTEEN_BITS, s3: S3Settings = ENVIRONMENT
) -> Image.Image:
    """The picture as RGB: turned upright (EXIF), scaled to 8 bits, alpha laid on white, first frame of several.

    Raises:
        BadImage: empty, truncated, not an image, or of more than `max_pixels` pixels.
    """
    with loaded(source, max_pixels, s3) as picture:
        return picture.rgb(depth)


def load(source: bytes | str | Path, max_pixels: int) -> Picture:
    """Return the picture before its bit depth is decided.

    Raises:
        BadImage: as `decode`.
    """
    with loaded(source, max_pixels) as picture:
        return picture


@contextmanager
def loaded(source: bytes | str | Path, max_pixels: int, s3: S3Settings = ENVIRONMENT) -> Iterator[Picture]:
    """Lend the picture before its bit depth is decided. Threads that work on pictures do so inside, one each: the memory that
    they need together is bounded, and some wait.

    Raises:
        BadImage: as `decode`.
    """
    data = source if isinstance(source, bytes) else read(source, max_pixels, s3)
    if not data:
        raise BadImage("empty file (0 bytes)")
    with _named(data):
        data = pixels_only(data.lstrip(_BEFORE))
        image = _opened(data, max_pixels)
        needed = _pixels(image) * bytes_a_pixel(image, markers(data))
    with reserved(needed):
        with _named(data):
            picture = _loaded(image, data, max_pixels)
        del image
        yield picture


@contextmanager
def _named(data: bytes) -> Iterator[None]:
    """Say what is wrong with a file that Pillow does not read; its own bound of pixels does not count."""
    try:
        with pixel_limit_lifted():
            yield
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage(_unknown(data)) from None
    except Exception as exc:  # Pillow's parsers raise nearly anything on broken files
        raise BadImage(f"broken image ({type(exc).__name__}: {exc})") from exc


def draft(data: bytes, max_pixels: int, side: int) -> Image.Image | None:
    """Return a JPEG in grey, decoded at the smallest scale at which it has `side` pixels, many times faster; None for all
    else, and for one that may have to be turned upright.

    Raises:
        BadImage: of a JPEG, as `decode`.
    """
    if (found := markers(data)) is None:
        return None
    try:
        with pixel_limit_lifted():
            image = _opened(data, max_pixels)
            if _ORIENTATION in image.getexif():
                return None
            whole = _pixels(image)
            image.draft("L", (side, side))
            # the coefficients of several scans are kept at full size
            with reserved((whole if found.scans > 1 else _pixels(image)) * bytes_a_pixel(image, found)):
                image.load()
    except Exception:  # Pillow's parsers raise nearly anything; `decode` says what is wrong
        return None
    return image


def read(path: str | Path, max_pixels: int, s3: S3Settings = ENVIRONMENT) -> bytes:
    """The bytes of the file, or of the object where `path` is an s3:// URI.

    Raises:
        BadImage: it is missing, unreadable, no regular file, or far larger than an image of `max_pixels` can be.
        StoreError: the object cannot be fetched.
    """
    if in_bucket(path):
        try:
            return retried(lambda: fetched(str(path), _most_bytes(max_pixels), s3))
        except TooLarge as exc:
            raise BadImage(_swollen(_most_bytes(max_pixels) + 1, max_pixels)) from exc
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise BadImage("not a regular file")
        refuse_oversized(status.st_size, max_pixels)
        return Path(path).read_bytes()
    except OSError as exc:
        raise BadImage(f"cannot be read ({exc.strerror or exc})") from exc


def refuse_oversized(size: int, max_pixels: int) -> None:
    """Raises a BadImage for files far larger than an image of `max_pixels` can be."""
    if size > _most_bytes(max_pixels):
        raise BadImage(_swollen(size, max_pixels))


def _most_bytes(max_pixels: int) -> int:
    return 16 * max_pixels + 2**24


def _swollen(size: int, max_pixels: int) -> str:
    return f"{size} bytes, more than an image of data.max_pixels {max_pixels} has"


def _loaded(image: ImageFile, data: bytes, max_pixels: int) -> Picture:
    found = tiff.tags_of(image)
    if found is not None and tiff.misread(found):
        raise BadImage(f"{tiff.kind(found)}; {tiff.READABLE}")
    if deep := read_high_bit_depth(image, data, lambda other: _opened(other, max_pixels)):
        return Picture(None, deep)
    try:
        image.load()
    except OSError:
        whole = with_end(data)
        if whole is None:
            raise
        image = _opened(whole, max_pixels)
    return Picture(apply_orientation(_floats(image) if image.mode == "F" else image))


def _opened(data: bytes, max_pixels: int) -> ImageFile:
    """The image with its header read and its cost checked, pixels not yet decoded."""
    refuse_costly(data, max_pixels)
    with _REGISTERING:
        if heif.is_heif(data) and not heif.register():
            raise BadImage(heif.MISSING)
    image = Image.open(io.BytesIO(data), formats=_known_formats())
    refuse_pixels(*image.size, max_pixels)
    if (count := _pixels(image)) > max_pixels:
        raise BadImage(
            f"a TIFF with tiles of {count:,} pixels; expected at most data.max_pixels {max_pixels}. Save it again"
        )
    return image


def _pixels(image: ImageFile) -> int:
    """Return the pixels that a decoder holds: of the image, or of one tile of a TIFF where that is larger."""
    found = tiff.tags_of(image)
    return max(image.width * image.height, 0 if found is None else tiff.tile_pixels(found))


def _unknown(data: bytes) -> str:
    """Return what the file is that Pillow does not open."""
    found = tiff.tags(data)
    if found is not None:
        return f"{tiff.kind(found)}; {tiff.READABLE}"
    if heif.is_heif(data):
        return "a broken HEIC image: pillow-heif cannot read it; expected a whole file. Copy it from the phone again"
    return f"not an image (it begins with {data[:12]!r}); expected JPEG, PNG, WebP, TIFF ..."


def _known_formats() -> list[str]:
    """The accepted formats that this build of Pillow has."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image


def _floats(image: Image.Image) -> Image.Image:
    """Return grey floats from 0 to 1 as 8 bits, where Pillow's convert would clip."""
    values = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 1.0):
        found = tiff.tags_of(image)
        kind = tiff.kind(found) if found is not None else "grey floats"
        raise BadImage(f"{kind} with values from {low:g} to {high:g}; expected 0 to 1. Save it with 8 or 16 bits")
    return Image.fromarray(np.rint(values * 255.0).astype(np.uint8))
