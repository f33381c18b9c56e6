"""What is small and swells stays small: every inflated or downloaded byte counts, and every pixel, scan and header.

Each input hurt 0.1.0; here it is in miniature, with small bounds put in the place of the real ones.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from raytl.config.schema import DataConfig
from raytl.data.decode import BadImage, decode
from raytl.data.formats import archives, parquet, scan
from raytl.errors import DataError, ModelError
from raytl.models import pickled, weights
from tests.conftest import MakePhotos

MEGAPIXELS_64 = DataConfig.model_fields["max_pixels"].default


def end_of_tar() -> bytes:
    return bytes(2 * tarfile.BLOCKSIZE)


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A MB in the place of a GB."""
    for module in (archives, parquet, pickled):
        monkeypatch.setattr(module, "BOMB_BYTES", 1 << 20)


def zeros_behind_the_end() -> bytes:
    return member("red/0.jpg", b"x") + end_of_tar() + bytes(16 << 20)


def folders() -> bytes:
    return b"".join(member(f"red/{number}/", kind=tarfile.DIRTYPE) for number in range(5000)) + end_of_tar()


def headers_of_pax() -> bytes:
    note = member("pax", b"65536 comment=" + b"x" * 65521 + b"\n", tarfile.XHDTYPE)
    return b"".join(note + member(f"red/{number}.jpg", b"x") for number in range(100)) + end_of_tar()


def long_names() -> bytes:
    name = member("@LongLink", b"x" * 60_000 + b"\0", tarfile.GNUTYPE_LONGNAME)
    return b"".join(name + member(f"red/{number}/", kind=tarfile.DIRTYPE) for number in range(100)) + end_of_tar()


@pytest.mark.usefixtures("small_bounds")
@pytest.mark.parametrize("content", [zeros_behind_the_end, folders, headers_of_pax, long_names])
def test_all_that_a_tar_inflates_to_counts(content: Callable[[], bytes], tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(content()))
    with pytest.raises(
        DataError, match=r"the content of bomb\.tar\.gz inflates to more than 100 times the packed size"
    ):
        scan(str(tmp_path / "bomb.tar.gz"))
    assert not list(own_cache.rglob("*.jpg"))


@pytest.mark.usefixtures("small_bounds")
def test_folder_entries_of_a_zip_count_with_their_sizes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("red/0.jpg", b"x")
        for number in range(4):
            packed.writestr(f"blue/{number}/", bytes(1 << 20))
    with pytest.raises(DataError, match=r"the content of bomb\.zip inflates to more than 100 times the packed size"):
        scan(str(tmp_path / "bomb.zip"))


def test_thousands_of_headers_before_one_member_are_refused(tmp_path: Path) -> None:
    note = member("pax", b"16 comment=none\n", tarfile.XHDTYPE)
    (tmp_path / "bomb.tar").write_bytes(note * 5000 + member("red/0.jpg", b"x") + end_of_tar())
    with pytest.raises(
        DataError, match=r"bomb\.tar is not a complete archive \(more than 8 headers before one member\)"
    ):
        scan(str(tmp_path / "bomb.tar"))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_a_thousand_folders_deep_is_refused(kind: str, tmp_path: Path, own_cache: Path) -> None:
    name, file = "d/" * 1000 + "0.jpg", tmp_path / f"deep.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr(name, b"x")
    else:
        with tarfile.open(file, "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(DataError, match=r"d/\.\.\.' has a path of 1001 parts; expected at most 64; nothing"):
        scan(str(file))
    assert not list(own_cache.rglob("d"))


def tiff_header(side: int) -> bytes:
    """A TIFF that says it is a black and white picture of this size, of one strip of fax data."""
    tags = {256: side, 257: side, 258: 1, 259: 4, 262: 0, 273: 8, 277: 1, 278: side, 279: 500_000}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(500_000)


def test_a_tiff_of_179_megapixels_is_refused_by_its_header_at_the_default(tmp_path: Path) -> None:
    (tmp_path / "bomb.tif").write_bytes(tiff_header(13_377))
    with pytest.raises(
        BadImage, match=r"^13377 x 13377 pixels, more than data\.max_pixels 64000000 .*raise it for larger"
    ):
        decode(tmp_path / "bomb.tif", MEGAPIXELS_64)


def test_the_limit_of_pixels_is_64_megapixels_and_can_be_raised() -> None:
    assert MEGAPIXELS_64 == 64_000_000
    assert DataConfig(uri="x", max_pixels=200_000_000).max_pixels == 200_000_000


def test_a_progressive_jpeg_of_2000_scans_is_refused_by_its_markers() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 90, 30)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    start = data.rindex(b"\xff\xda")
    with pytest.raises(BadImage, match=r"a JPEG of more than 100 scans; expected about 10\. Save it again"):
        decode(data[:-2] + data[start:-2] * 2000 + data[-2:], MEGAPIXELS_64)


def test_a_colour_profile_of_hundreds_of_segments_is_refused(make_photos: MakePhotos) -> None:
    data = (make_photos(1) / "red" / "000.jpg").read_bytes()
    segment = b"\xff\xe2\xff\xff" + bytes(65_533)
    with pytest.raises(BadImage, match=r"bytes before its pixels; expected at most 4,096 and 33,554,432"):
        decode(data[:2] + segment * 600 + data[2:], MEGAPIXELS_64)


@pytest.mark.usefixtures("small_bounds")
def test_a_compressed_pth_that_swells_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1 << 20)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    assert (tmp_path / "w.pth").stat().st_size < 10_000
    assert weights.read(tmp_path / "plain.pth").state["weight"].shape == (1 << 20,)
    with pytest.raises(
        ModelError, match=r"w\.pth inflates to 4,19\d,\d{3} bytes, more than 100 times its size; expected"
    ):
        weights.read(tmp_path / "w.pth")


@pytest.mark.usefixtures("small_bounds")
def test_tensors_that_repeat_a_few_bytes_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1, dtype=torch.float16).expand(10**6, 10**6)}, tmp_path / "w.pth")
    with pytest.raises(
        ModelError, match=r"the tensors in .*w\.pth take 4,000,000,000,000 bytes, far more than the file"
    ):
        weights.read(tmp_path / "w.pth")


@pytest.mark.usefixtures("small_bounds")
def test_a_table_whose_rows_swell_is_refused(tmp_path: Path) -> None:
    paths = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["x" * 1000])
    pq.write_table(pa.table({"path": paths, "label": ["a"] * 10_000}), tmp_path / "t.parquet")
    with pytest.raises(
        DataError, match=r"t\.parquet: its rows inflate to more than 100 times its size; expected one short path"
    ):
        scan(str(tmp_path / "t.parquet"))
