"""Decode any image file into one upright 8-bit image, of RGB or of as many channels as a model reads, or explain why that fails."""

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
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from raytl.data import dicom, heif, numpy_file, tiff, tiff_channels
from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import RGB, SIXTEEN_BITS, BitDepth, Levels
from raytl.data.channel_values import ChannelFile, ChannelValues, refuse_channels, refuse_nonfinite, visible_image
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

__all__ = [
    "IMAGE_SUFFIXES",
    "BadImage",
    "Picture",
    "decode",
    "draft",
    "header",
    "load",
    "loaded",
    "opened_image",
    "read",
    "refuse_oversized",
]

# Only common photo formats: EPS runs Ghostscript, and parsers of rare formats are little tested.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000", heif.FORMAT)
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".ppm"}
    | {".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".dcm", ".dicom"}
)
_BEFORE = b"\r\n \t\xef\xbb\xbf"
"""Bytes that a web server script may accidentally write before a file; no image format starts with them."""
_BANDS = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"})
"""The modes whose bands are the channels of the file."""
_ORIENTATION = 274
_HEADER_PIXELS = 1 << 32
"""Pixel limit of images whose header alone is read."""
_REGISTERING = threading.Lock()
# Pillow warns about odd metadata in files that it can read; with a live progress bar that is noise.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Picture:
    """A decoded upright file: an 8-bit `image`, or the samples of a `deep` one or the `channels` that still need scaling."""

    image: Image.Image | None
    deep: HighBitDepthImage | None = None
    channels: ChannelValues | None = None

    @property
    def levels(self) -> Levels:
        """Return the values that determine its bit depth."""
        scaled = self.channels or self.deep
        return scaled.levels if scaled else Levels()

    @property
    def size(self) -> tuple[int, int]:
        """Return its width and height in pixels."""
        if self.image is not None:
            return self.image.size
        height, width = (self.channels.values if self.channels else self._samples).shape[:2]
        return width, height

    def rgb(self, depth: BitDepth = SIXTEEN_BITS) -> Image.Image:
        """Return it as 8-bit RGB, with alpha composited on white; of other channels, those that people see.

        Raises:
            BadImage: its floats are outside of 0 to 1, and `depth` has no range for them.
        """
        if self.channels is not None:
            return _rgb(visible_image(self.channels.scaled(depth)))
        image = self.deep.scaled(depth) if self.deep else self.image
        assert image is not None, "a picture has an image or samples"
        return _rgb(image)

    @property
    def _samples(self) -> NDArray[np.uint16]:
        assert self.deep is not None, "a picture has an image, samples or channels"
        return self.deep.samples

    def as_channels(self, channels: int) -> ChannelValues:
        """Return what a file of gray, RGB or alpha holds as channels: alpha is one like the others.

        Raises:
            BadImage: it has another number of channels.
        """
        values = np.asarray(self.image) if self.deep is None else self._samples
        is_plain = self.deep is not None or (self.image is not None and self.image.mode in _BANDS)
        values = values[..., None] if values.ndim == 2 else values
        refuse_channels(values.shape[2] if is_plain else 1, channels)
        return ChannelValues(np.ascontiguousarray(values))


def decode(
    source: bytes | str | Path,
    max_pixels: int,
    depth: BitDepth = SIXTEEN_BITS,
    s3: S3Settings = ENVIRONMENT,
    max_memory_bytes: int | None = None,
) -> Image.Image:
    """Return the image as RGB: rotated by EXIF, scaled to 8 bits, alpha composited on white, only the first frame. Of the
    channels that `depth` has ranges for, those that people see.

    Raises:
        BadImage: it is empty, truncated, not an image, or has more than `max_pixels` pixels, or takes more than `max_memory_bytes`.
    """
    with loaded(source, max_pixels, s3, depth.channels, max_memory_bytes) as picture:
        return picture.rgb(depth)


def load(source: bytes | str | Path, max_pixels: int) -> Picture:
    """Return the picture before its bit depth is chosen.

    Raises:
        BadImage: as `decode`.
    """
    with loaded(source, max_pixels) as picture:
        return picture


@contextmanager
def loaded(
    source: bytes | str | Path,
    max_pixels: int,
    s3: S3Settings = ENVIRONMENT,
    channels: int = RGB,
    max_memory_bytes: int | None = None,
) -> Iterator[Picture]:
    """Yield the picture before its bit depth is chosen. Threads process pictures inside the block, one each: their total
    memory is bounded, so some wait. With other than three `channels`, they are all in `Picture.channels`.

    Raises:
        BadImage: as `decode`, or it has another number of channels.
    """
    data = source if isinstance(source, bytes) else read(source, max_pixels, s3)
    if not data:
        raise BadImage("empty file (0 bytes)")
    if channels != RGB or tiff.is_tiff(data) or dicom.is_dicom(data):
        with _pillow_errors(data):
            file = _channel_file(data, channels, max_pixels)
    else:
        file = None
    if file is not None:
        with reserved(file.peak_bytes, max_memory_bytes):
            with _pillow_errors(data):
                picture = Picture(None, channels=file.read())
            yield picture
        return
    with _pillow_errors(data):
        data = pixels_only(data.lstrip(_BEFORE))
        image = _opened(data, max_pixels)
        needed = _pixels(image) * bytes_a_pixel(image, markers(data))
    with reserved(needed, max_memory_bytes):
        with _pillow_errors(data):
            picture = _loaded(image, data, max_pixels)
            picture = picture if channels == RGB else Picture(None, channels=picture.as_channels(channels))
        del image
        yield picture


def _channel_file(data: bytes, channels: int, max_pixels: int) -> ChannelFile | None:
    """Return the file if it is read as values of channels; None for what Pillow reads."""
    tiff.refuse_costly(data)
    if channels != RGB:
        if tiff.is_tiff(data):
            return tiff_channels.opened(data, channels, max_pixels)
        refuse_channels(1 if dicom.is_dicom(data) else channels, channels)
        return numpy_file.opened(data, channels, max_pixels) if numpy_file.is_array(data) else None
    if dicom.is_dicom(data):
        return dicom.opened(data, max_pixels)
    if tiff.is_tiff(data) and tiff_channels.has_float_color(tiff.tags(data)):
        return tiff_channels.opened(data, channels, max_pixels)
    return None


@contextmanager
def opened_image(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """Yield the decoded image as it is stored: in its own mode, and not rotated.

    Raises:
        BadImage: as `decode`.
    """
    with _pillow_errors(data):
        image = _opened(pixels_only(data.lstrip(_BEFORE)), max_pixels)
        with reserved(_pixels(image) * bytes_a_pixel(image, markers(data))):
            image.load()
            yield image


@contextmanager
def _pillow_errors(data: bytes) -> Iterator[None]:
    """Translate Pillow's errors into BadImage, with Pillow's pixel limit lifted."""
    try:
        with pixel_limit_lifted():
            yield
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage(_unknown(data)) from None
    except Exception as exc:  # Pillow's parsers raise nearly anything on broken files
        raise BadImage(f"broken image ({type(exc).__name__}: {exc})") from exc


def header(data: bytes) -> tuple[tuple[int, int], int]:
    """Return the (width, height) of the stored pixels and the EXIF orientation of a file, usually without decoding it.

    Raises:
        BadImage: it is not an image.
    """
    with _pillow_errors(data):
        if (size := _size_of_values(data)) is not None:
            return size
        image = _opened(pixels_only(data.lstrip(_BEFORE)), _HEADER_PIXELS)
        orientation = image.getexif().get(_ORIENTATION, 1)
        return image.size, orientation if orientation in range(1, 9) else 1


def _size_of_values(data: bytes) -> tuple[tuple[int, int], int] | None:
    """Return the size and orientation of a file that Pillow does not open; None for others."""
    if dicom.is_dicom(data):
        return dicom.size_of(data), 1
    if numpy_file.is_array(data):
        return numpy_file.size_of(data), 1
    tiff.refuse_costly(data)
    ifd = tiff.tags(data)
    return tiff.size_of(ifd) if ifd is not None and tiff.has_many_bands(ifd) else None


def draft(data: bytes, max_pixels: int, side: int) -> Image.Image | None:
    """Return a JPEG in grayscale, decoded much faster at the smallest scale with `side` pixels; None for other files and for
    JPEGs with an EXIF orientation.

    Raises:
        BadImage: a JPEG with too many scans, segments or bytes before its pixels.
    """
    if (jpeg := markers(data)) is None:
        return None
    try:
        with pixel_limit_lifted():
            image = _opened(data, max_pixels)
            if _ORIENTATION in image.getexif():
                return None
            whole = _pixels(image)
            image.draft("L", (side, side))
            # the coefficients of a multi-scan JPEG are stored at full size
            with reserved((whole if jpeg.scans > 1 else _pixels(image)) * bytes_a_pixel(image, jpeg)):
                image.load()
    except Exception:  # Pillow's parsers raise nearly anything; `decode` explains the problem
        return None
    return image


def read(path: str | Path, max_pixels: int, s3: S3Settings = ENVIRONMENT) -> bytes:
    """Return the bytes of the file, or of the object if `path` is an s3:// URI.

    Raises:
        BadImage: it is missing, unreadable, not a regular file, or far larger than an image of `max_pixels`.
        StoreError: the object cannot be fetched.
    """
    if in_bucket(path):
        try:
            return retried(lambda: fetched(str(path), _max_bytes(max_pixels), s3))
        except TooLarge as exc:
            raise BadImage(_oversized(_max_bytes(max_pixels) + 1, max_pixels)) from exc
    return local_bytes(path, max_pixels)


def local_bytes(path: str | Path, max_pixels: int = _HEADER_PIXELS) -> bytes:
    """Return the bytes of a file.

    Raises:
        BadImage: it is missing, unreadable, not a regular file, or far larger than an image of `max_pixels`.
    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block forever
            raise BadImage("not a regular file")
        refuse_oversized(status.st_size, max_pixels)
        return Path(path).read_bytes()
    except OSError as exc:
        raise BadImage(f"cannot be read ({exc.strerror or exc})") from exc


def refuse_oversized(size: int, max_pixels: int) -> None:
    """Raise a BadImage for files far larger than an image of `max_pixels`."""
    if size > _max_bytes(max_pixels):
        raise BadImage(_oversized(size, max_pixels))


def _max_bytes(max_pixels: int) -> int:
    return 16 * max_pixels + 2**24


def _oversized(size: int, max_pixels: int) -> str:
    return f"{size} bytes, more than an image of data.max_pixels {max_pixels} can have"


def _loaded(image: ImageFile, data: bytes, max_pixels: int) -> Picture:
    ifd = tiff.tags_of(image)
    if ifd is not None and tiff.misread(ifd):
        raise BadImage(f"{tiff.kind(ifd)}; {tiff.READABLE}")
    if deep := read_high_bit_depth(image, data, lambda other: _opened(other, max_pixels)):
        return Picture(None, deep)
    try:
        image.load()
    except OSError:
        repaired = with_end(data)
        if repaired is None:
            raise
        image = _opened(repaired, max_pixels)
    upright = apply_orientation(image)
    if upright.mode != "F":
        return Picture(upright)
    values = np.asarray(upright)[..., None]
    refuse_nonfinite(values)
    return Picture(None, channels=ChannelValues(values))


def _opened(data: bytes, max_pixels: int) -> ImageFile:
    """Return the image with its header read and its cost checked, pixels not decoded yet."""
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
    """Return the pixels that a decoder holds at once: of the image, or of one TIFF tile if that is larger."""
    ifd = tiff.tags_of(image)
    return max(image.width * image.height, 0 if ifd is None else tiff.tile_pixels(ifd))


def _unknown(data: bytes) -> str:
    """Return a description of a file that Pillow cannot open."""
    ifd = tiff.tags(data)
    if ifd is not None:
        return f"{tiff.kind(ifd)}; {tiff.READABLE}"
    if numpy_file.is_array(data):
        return "a numpy array; expected an image. For arrays of 2 to 16 channels, set model.channels"
    if heif.is_heif(data):
        return "a broken HEIC image: pillow-heif cannot read it; expected a complete file. Copy it from the phone again"
    return f"not an image (starts with {data[:12]!r}); expected JPEG, PNG, WebP, TIFF ..."


def _known_formats() -> list[str]:
    """Return the accepted formats that this build of Pillow supports."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image
