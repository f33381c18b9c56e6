"""DICOM images are shown by their window and read without anything about the patient; other kinds are named."""

from __future__ import annotations

import io
import logging
import struct
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from raytl.data import dicom
from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth, Levels
from raytl.data.decode import IMAGE_SUFFIXES, BadImage, decode, header, load, loaded

BOUND = 10**6
NAME = "Doe^Jane^Secret"
SCAN = np.arange(-200, 200, dtype=np.int16).reshape(20, 20)


def file_of(pixels: NDArray[Any] = SCAN, syntax: str = "1.2.840.10008.1.2.1", **elements: Any) -> bytes:
    """Return a DICOM file of signed 16-bit pixels with a slope of 2 and an intercept of -10; None leaves an element out."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import UID, SecondaryCaptureImageStorage

    dataset = pydicom.Dataset()
    values: dict[str, Any] = {
        "PatientName": NAME, "PatientID": NAME, "SOPClassUID": SecondaryCaptureImageStorage,
        "SOPInstanceUID": "1.2.3", "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": pixels.shape[0], "Columns": pixels.shape[1], "BitsAllocated": 16,
        "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1, "RescaleSlope": 2, "RescaleIntercept": -10,
        "WindowCenter": 40, "WindowWidth": 300, "PixelData": pixels.tobytes(),
    }  # fmt: skip
    for name, value in (values | elements).items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def shown(data: bytes, depth: BitDepth = SIXTEEN_BITS) -> NDArray[np.uint8]:
    return np.asarray(decode(data, BOUND, depth))[..., 0]


def test_dicom_files_are_images_in_every_layout() -> None:
    assert {".dcm", ".dicom"} <= IMAGE_SUFFIXES
    assert dicom.is_dicom(bytes(128) + b"DICM")


def test_without_pydicom_the_file_is_named_and_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(BadImage, match=r"a DICOM image; install pydicom \(pip install 'raytl\[dicom\]'\)"):
        decode(bytes(128) + b"DICM" + bytes(50), BOUND)


def test_the_window_of_the_file_is_that_of_pydicom() -> None:
    pixels = pytest.importorskip("pydicom.pixels")
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.dcmread(io.BytesIO(file_of()))
    values = pixels.apply_windowing(pixels.apply_rescale(dataset.pixel_array, dataset), dataset)
    low, high = 2 * -32768 - 10, 2 * 32767 - 10  # its output range is that of the stored values
    assert np.abs(shown(file_of()) - (values - low) * (255 / (high - low))).max() <= 1


def test_a_window_of_the_experiment_replaces_that_of_the_file() -> None:
    assert np.array_equal(
        shown(file_of(), BitDepth(window=(0.0, 100.0))), shown(file_of(WindowCenter=0, WindowWidth=100))
    )
    assert np.array_equal(shown(file_of(WindowCenter=[40, 900], WindowWidth=[300, 9])), shown(file_of()))


def test_without_a_window_all_stored_values_are_shown() -> None:
    pixels = shown(file_of(WindowCenter=None, WindowWidth=None, BitsStored=12, HighBit=11))
    assert np.abs(pixels - (SCAN.astype(float) + 2048) / 4095 * 255).max() <= 1


def test_low_values_of_monochrome1_are_white() -> None:
    assert np.array_equal(shown(file_of(PhotometricInterpretation="MONOCHROME1")), 255 - shown(file_of()))


def test_rgb_is_read_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    color = {
        "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8,
        "HighBit": 7, "PixelRepresentation": 0, "RescaleSlope": None, "RescaleIntercept": None,
    }  # fmt: skip
    found = decode(file_of(pixels, **color), BOUND, BitDepth(window=(0.0, 10.0)))
    assert np.array_equal(np.asarray(found), pixels)


@pytest.mark.filterwarnings("ignore:The number of bytes of pixel data is sufficient to contain 2 frames")
@pytest.mark.parametrize(
    ("elements", "text"),
    [
        ({"NumberOfFrames": 5}, "a DICOM file of 5 frames; expected one image"),
        ({"PixelData": None}, "a DICOM file without pixels"),
        ({"Rows": 60000, "Columns": 60000}, "60000 x 60000 pixels, more than data.max_pixels 1000000"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric interpretation PALETTE COLOR; expected grey"),
        ({"VOILUTFunction": "SIGMOID"}, "a window function that is not linear; expected LINEAR. Set data.window"),
        ({"PixelData": SCAN.tobytes()[:100]}, "whose pixels cannot be decoded"),
        ({"PixelData": 2 * SCAN.tobytes()}, "a DICOM file of several images; expected one"),
        ({"Rows": 0}, "20 x 0 pixels; expected at least 1 x 1"),
    ],
)
def test_other_files_are_named(elements: dict[str, Any], text: str) -> None:
    with pytest.raises(BadImage, match=text):
        decode(file_of(**elements), BOUND)


def jpeg_ls(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xf7" + struct.pack(">HBHHB3s", 11, 16, height, width, 1, b"\1\x11\0") + b"\xff\xd9"


def saved(kind: str, size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize(size).save(stream, kind, **options)
    return stream.getvalue()


BYTES = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
JPEG, JPEG_2000, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"


@pytest.mark.parametrize(
    ("syntax", "frame", "text"),
    [
        (JPEG, saved("JPEG"), "40 x 30 pixels with 1 samples; expected 20 x 20 with 1"),
        (JPEG_2000, saved("JPEG2000", no_jp2=True), "40 x 30 pixels with 1 samples; expected 20 x 20 with 1"),
        (JPEG_2000, saved("JPEG2000"), "a compressed image of unknown size"),
        ("1.2.840.10008.1.2.4.80", jpeg_ls(40, 30), "40 x 30 pixels with 1 samples"),
        (RLE, struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 500, "more run-length encoded bytes than its pixels"),
        (JPEG, b"none", "a compressed image of unknown size"),
    ],
)
def test_a_compressed_image_of_another_size_is_refused_before_it_is_decoded(
    syntax: str, frame: bytes, text: str
) -> None:
    encaps = pytest.importorskip("pydicom.encaps")
    data = file_of(syntax=syntax, PixelData=encaps.encapsulate([frame]), **BYTES)
    with pytest.raises(BadImage, match=text):
        dicom.opened(data, BOUND)


@pytest.mark.parametrize(
    ("syntax", "options"), [(JPEG, {"kind": "JPEG"}), (JPEG_2000, {"kind": "JPEG2000", "no_jp2": True})]
)
def test_a_compressed_image_of_its_own_size_is_read(syntax: str, options: dict[str, Any]) -> None:
    encaps = pytest.importorskip("pydicom.encaps")
    frame = saved(size=(20, 20), **options)
    data = file_of(syntax=syntax, PixelData=encaps.encapsulate([frame]), **BYTES)
    with Image.open(io.BytesIO(frame)) as image:
        assert np.array_equal(dicom.opened(data, BOUND).read().values[..., 0], 2 * np.asarray(image, float) - 10)


def test_run_lengths_are_read() -> None:
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.dcmread(io.BytesIO(file_of()))
    dataset.compress(RLE, generate_instance_uid=False)
    stream = io.BytesIO()
    dataset.save_as(stream)
    assert np.array_equal(shown(stream.getvalue()), shown(file_of()))


def test_deflated_elements_are_refused_before_they_are_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of(syntax="1.2.840.10008.1.2.1.99")
    monkeypatch.setattr("zlib.decompress", None)
    for reader in (lambda: decode(data, BOUND), lambda: header(data)):
        with pytest.raises(BadImage, match="a DICOM file with deflated elements; expected another transfer syntax"):
            reader()


def test_ybr_is_converted_once() -> None:
    pixels = np.full((6, 8, 3), (76, 85, 255), np.uint8)  # red
    color = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL", "PlanarConfiguration": 0, **BYTES}
    found = np.asarray(decode(file_of(pixels, **color), BOUND)).astype(int)
    assert np.abs(found - (254, 0, 0)).max() <= 1


@pytest.mark.parametrize(
    ("own", "other", "text"),
    [
        (b"1.25", b"Doe^", "RescaleSlope is not a number"),
        (b"DS\4\x001.25", b"ZZ\4\0Doe^", "RescaleSlope is not a number"),
        (b"MONOCHROME2 ", b"Doe^Jane^Sec", "an unknown photometric interpretation; expected grey"),
        (b"CS\x0c\0MONOCHROME2 ", b"ZZ\x0c\0Doe^Jane^Sec", "PhotometricInterpretation is not a text"),
    ],
)
def test_wrong_values_are_not_quoted(own: bytes, other: bytes, text: str, caplog: pytest.LogCaptureFixture) -> None:
    data = file_of(RescaleSlope="1.25")
    assert data.count(own) == 1
    with caplog.at_level(logging.DEBUG), pytest.raises(BadImage, match=text) as error:
        decode(data.replace(own, other), BOUND)
    assert "Doe" not in f"{error.value}{caplog.text}"
    assert error.value.__cause__ is None


def test_a_compressed_file_without_a_decoder_is_one_sentence() -> None:
    encaps = pytest.importorskip("pydicom.encaps")
    data = file_of(syntax="1.2.840.10008.1.2.4.80", PixelData=encaps.encapsulate([jpeg_ls(20, 20)]))
    with pytest.raises(
        BadImage, match=r"cannot be decoded \(JPEG-LS .*; expected uncompressed pixels, or a decoder of pydicom"
    ):
        decode(data, BOUND)


@pytest.mark.parametrize("end", [140, 200, 400, 700])
def test_truncated_files_are_named_without_the_patient(end: int, caplog: pytest.LogCaptureFixture) -> None:
    data = file_of(WindowCenter=None)[:end]
    with caplog.at_level(logging.DEBUG), pytest.raises(BadImage, match="DICOM file") as error:
        decode(data, BOUND)
    assert "Doe" not in f"{error.value}{caplog.text}"
    assert error.value.__cause__ is None


def test_nothing_about_the_patient_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dicom._parsed(file_of())
    assert "PatientName" not in dataset
    assert NAME not in str(dataset)


def test_a_model_of_other_channels_refuses_it() -> None:
    with pytest.raises(BadImage, match="an image of 1 channel; expected 4"), loaded(file_of(), BOUND, channels=4):
        pass


def test_its_values_do_not_decide_the_depth_of_a_set() -> None:
    assert load(file_of(), BOUND).levels == Levels()
