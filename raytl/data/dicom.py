"""Read DICOM images through pydicom, an optional dependency that is imported for the first such file.

Only the elements that decide the pixels are parsed, so nothing about a patient is ever read: not into logs, records or names.
"""

from __future__ import annotations

import io
from importlib import metadata
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.data import dicom_frame
from raytl.data.bad_image import BadImage
from raytl.data.channel_values import ChannelFile, ChannelValues, refuse_nonfinite
from raytl.data.headers import refuse_pixels

MISSING = "a DICOM image; install pydicom (pip install 'raytl[dicom]')"
_ELEMENTS = (
    "SOPClassUID", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleIntercept", "RescaleSlope", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "ModalityLUTSequence", "PixelData", "FloatPixelData", "DoubleFloatPixelData",
)  # fmt: skip
_OTHER_KINDS = ("PALETTE COLOR", "HSV", "ARGB", "CMYK")
"""Only these are named: what else the element holds may be anything, such as the name of a patient."""
_META_AT = 132
"""Where the file meta information starts, after the preamble and the prefix."""
_PEAK = 40
"""Peak memory of decoding and rescaling, in bytes a pixel."""


def is_dicom(data: bytes) -> bool:
    """Return whether the file has DICOM's preamble and prefix."""
    return data[128:132] == b"DICM"


def version() -> str | None:
    """Return the version of pydicom, or None if it is not installed."""
    try:
        return metadata.version("pydicom")
    except metadata.PackageNotFoundError:
        return None


def opened(data: bytes, max_pixels: int) -> ChannelFile:
    """Return the file with its header checked.

    Raises:
        BadImage: pydicom is not installed, or the file is not one image of grey or RGB that it can decode.
    """
    dataset = _parsed(data)
    rows, columns = _whole(dataset, "Rows"), _whole(dataset, "Columns")
    if (frames := _whole(dataset, "NumberOfFrames", 1)) > 1:
        raise BadImage(f"a DICOM file of {frames} frames; expected one image. Save each frame as a file")
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise BadImage("a DICOM file without pixels; expected an image. Leave it out")
    if rows < 1 or columns < 1:
        raise BadImage(f"a DICOM file of {columns} x {rows} pixels; expected at least 1 x 1")
    refuse_pixels(columns, rows, max_pixels)
    kind = _text(dataset, "PhotometricInterpretation", "MONOCHROME2")
    if "ModalityLUTSequence" in dataset or not kind.startswith(("MONOCHROME", "RGB", "YBR")):
        other = (
            f"photometric interpretation {kind}" if kind in _OTHER_KINDS else "an unknown photometric interpretation"
        )
        what = "a modality lookup table" if "ModalityLUTSequence" in dataset else other
        raise BadImage(f"a DICOM file with {what}; expected grey with a rescale slope, or RGB. Convert it first")
    peak = _PEAK
    if (compressed := _compressed(dataset)) is not None:
        peak += dicom_frame.peak_bytes(*compressed, (columns, rows, _whole(dataset, "SamplesPerPixel", 1)))
    return ChannelFile(peak * rows * columns, lambda: _read(dataset, kind))


def size_of(data: bytes) -> tuple[int, int]:
    """Return the (width, height) of the pixels.

    Raises:
        BadImage: pydicom is not installed, or the file is broken.
    """
    dataset = _parsed(data)
    return _whole(dataset, "Columns"), _whole(dataset, "Rows")


def _parsed(data: bytes) -> Any:
    """Return the elements that decide the pixels."""
    try:
        import pydicom
        from pydicom import config
    except ImportError:
        raise BadImage(MISSING) from None
    config.settings.reading_validation_mode = config.IGNORE  # its warnings quote values
    try:
        _refuse_deflated(data)
        return pydicom.dcmread(io.BytesIO(data), specific_tags=list(_ELEMENTS))
    except BadImage:
        raise
    except Exception as error:  # its texts may quote values of the file
        raise BadImage(
            f"a broken DICOM file ({type(error).__name__}); expected a complete file. Copy it again"
        ) from None


def _refuse_deflated(data: bytes) -> None:
    """Raise a BadImage for a file whose elements are deflated: pydicom inflates them without a bound."""
    from pydicom.filereader import read_dataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    stream = io.BytesIO(data)
    stream.seek(_META_AT)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise BadImage("a DICOM file with deflated elements; expected another transfer syntax. Convert it first")


def _compressed(dataset: Any) -> tuple[str, bytes] | None:
    """Return the transfer syntax and the bytes of a compressed image; None for pixels that are stored as they are."""
    try:
        syntax = dataset.file_meta.TransferSyntaxUID
        if not syntax.is_encapsulated:
            return None
        from pydicom.encaps import generate_frames

        frames = list(islice(generate_frames(dataset.PixelData, number_of_frames=1), 2))
    except Exception as error:  # its texts may quote values of the file
        raise BadImage(
            f"a DICOM file whose pixels cannot be located ({type(error).__name__}); expected a complete file. Copy it again"
        ) from None
    if len(frames) != 1:
        raise BadImage("a DICOM file of several compressed frames; expected one image. Save each frame as a file")
    return str(syntax), frames[0]


def _read(dataset: Any, kind: str) -> ChannelValues:
    pixels = _decoded(dataset)
    if pixels.shape[:2] != (_whole(dataset, "Rows"), _whole(dataset, "Columns")):
        raise BadImage("a DICOM file of several images; expected one. Save each as a file")
    if pixels.ndim == 3:
        return ChannelValues(_bytes_of_color(pixels, _whole(dataset, "BitsStored", 8)))
    slope, intercept = _real(dataset, "RescaleSlope", 1.0), _real(dataset, "RescaleIntercept", 0.0)
    values = pixels.astype(np.float64)
    values *= slope
    values += intercept
    refuse_nonfinite(values)
    window = _window(dataset) or _stored_range(dataset, slope, intercept, values)
    return ChannelValues(values[..., None], window, is_inverted=kind == "MONOCHROME1")


def _decoded(dataset: Any) -> NDArray[Any]:
    """Return the stored pixels, `(height, width)`, or RGB: pydicom converts YBR."""
    try:
        return np.asarray(dataset.pixel_array)
    except MemoryError:
        raise
    except Exception as error:  # its texts may quote values of the file
        syntax = getattr(getattr(dataset.file_meta, "TransferSyntaxUID", None), "name", "an unknown transfer syntax")
        raise BadImage(
            f"a DICOM file whose pixels cannot be decoded ({syntax}; {type(error).__name__}); expected uncompressed pixels, or a "
            "decoder of pydicom for them (such as pylibjpeg)"
        ) from None


def _bytes_of_color(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if bits > 8:
        raise BadImage(f"a DICOM file of RGB with {bits} bits; expected 8. Convert it first")
    return np.ascontiguousarray(pixels.astype(np.uint8))


def _window(dataset: Any) -> tuple[float, float] | None:
    """Return the first window of the file, as center and width."""
    if "WindowCenter" not in dataset or "WindowWidth" not in dataset:
        return None
    function = _text(dataset, "VOILUTFunction", "LINEAR")
    if function not in ("LINEAR", "LINEAR_EXACT"):
        raise BadImage("a DICOM file with a window function that is not linear; expected LINEAR. Set data.window")
    center, width = _real(dataset, "WindowCenter", 0.0), _real(dataset, "WindowWidth", 0.0)
    if width <= 0:
        return None
    return (center + 0.5, width + 1.0) if function == "LINEAR_EXACT" else (center, width)


def _stored_range(dataset: Any, slope: float, intercept: float, values: NDArray[Any]) -> tuple[float, float]:
    """Return the window that shows every value that the stored bits can have; of floats, those of the file."""
    if (bits := _whole(dataset, "BitsStored")) < 1:
        low, high = float(values.min()), float(values.max())
    else:
        is_signed = _whole(dataset, "PixelRepresentation", 0) == 1
        ends = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
        low, high = sorted(slope * end + intercept for end in ends)
    return (low + high + 1) / 2, high - low + 1


def _text(dataset: Any, name: str, default: str) -> str:
    try:
        return str(dataset.get(name) or default)
    except Exception:  # the error of a wrong value quotes it
        raise BadImage(
            f"a DICOM file whose {name} is not a text; expected one. Set it, or leave the file out"
        ) from None


def _whole(dataset: Any, name: str, default: int = 0) -> int:
    return int(_real(dataset, name, default))


def _real(dataset: Any, name: str, default: float) -> float:
    """Return a number of the file, the first where there are several."""
    try:
        value = dataset.get(name)  # it is converted here, and the error of a wrong one quotes it
        if value is None or value == "":
            return default
        number = float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)
    except Exception:
        raise BadImage(
            f"a DICOM file whose {name} is not a number; expected one. Set it, or leave the file out"
        ) from None
    if not np.isfinite(number):
        raise BadImage(f"a DICOM file whose {name} is not finite; expected a number. Set it, or leave the file out")
    return number
