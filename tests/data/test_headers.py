"""Files that cost far more than an image does are refused before anything of them is decoded."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from raytl.data.decode import BadImage, decode, header
from tests.data.files import chunk

MOST = 1_000_000


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(
    tags: dict[int, tuple[int, int, int]], rest: bytes = b"", count: int | None = None, big: bool = False
) -> bytes:
    """A TIFF of these tags: type, number of values, and the value or where it is."""
    if big:
        entries = b"".join(struct.pack("<HHQQ", tag, *value) for tag, value in sorted(tags.items()))
        return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, count or len(tags)) + entries + bytes(8) + rest
    entries = b"".join(struct.pack("<HHII", tag, *value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, count or len(tags)) + entries + bytes(4) + rest


SMALL = {256: (4, 1, 10), 257: (4, 1, 10), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tag", [273, 324])
def test_a_tiff_has_at_most_so_many_strips_or_tiles(tag: int, big: bool) -> None:
    with pytest.raises(BadImage, match=r"a TIFF of 16,000,000 strips or tiles; expected at most 262,144"):
        decode(tiff({**SMALL, tag: (4, 16_000_000, 8)}, big=big), MOST)


@pytest.mark.parametrize(("big", "count"), [(False, 65_000), (True, 2**60)])
def test_a_tiff_has_at_most_so_many_tags(big: bool, count: int) -> None:
    with pytest.raises(BadImage, match=rf"a TIFF of {count:,} tags; expected at most 4,096"):
        decode(tiff(SMALL, count=count, big=big), MOST)


def test_tags_are_counted_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.data.tiff.directory", None)
    for reader in (lambda data: decode(data, MOST), header):
        with pytest.raises(BadImage, match="a TIFF of 65,000 tags; expected at most 4,096"):
            reader(tiff(SMALL, count=65_000))


def test_a_tile_is_no_larger_than_an_image_may_be() -> None:
    tiled = {**SMALL, 259: (3, 1, 8), 322: (4, 1, 32768), 323: (4, 1, 32768), 324: (4, 1, 8), 325: (4, 1, 8)}
    with pytest.raises(BadImage, match=r"a TIFF with tiles of 1,073,741,824 pixels; expected at most data\.max_pixels"):
        decode(tiff(tiled), MOST)


def test_the_canvas_of_a_webp_is_refused_before_it_is_made() -> None:
    frames = [Image.new("RGB", (16, 16), shade) for shade in ("red", "blue")]
    data = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    place = data.index(b"VP8X") + 12
    data[place : place + 6] = (15_999).to_bytes(3, "little") * 2
    with pytest.raises(BadImage, match=r"16000 x 16000 pixels, more than data\.max_pixels 1000000"):
        decode(bytes(data), MOST)


@pytest.mark.parametrize("padding", [b"#" + b"x" * 100_000 + b"\n", b" " * 100_000])
def test_a_pnm_header_is_short(padding: bytes) -> None:
    with pytest.raises(BadImage, match=r"a header of more than 65,536 bytes"):
        decode(b"P6\n" + padding + b"4 4\n255\n" + bytes(48), MOST)


def test_a_pnm_file_with_a_comment_is_an_image() -> None:
    assert decode(b"P6\n# a comment\n200 200\n255\n" + bytes(120_000), MOST).size == (200, 200)
    assert decode(b"P4\n800 800\n" + b"\xff" * 80_000, MOST).size == (800, 800)


def test_a_png_has_at_most_so_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (8, 8)), "PNG")
    swollen = data[:33] + chunk(b"tEXt", b"") * 1000 + data[33:]
    assert decode(swollen, MOST).size == (8, 8)
    monkeypatch.setattr("raytl.data.png.MAX_CHUNKS", 1000)
    with pytest.raises(BadImage, match=r"a PNG of more than 1,000 chunks"):
        decode(swollen, MOST)
