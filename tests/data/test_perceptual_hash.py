"""The same photo under another name, size or compression."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from raytl.data.manifest import Sample
from raytl.data.perceptual_hash import NEAR_BITS, copies, nearest, phash, phashes

GOLDEN = [0x1AF1631D5DE16198, 0x61CD730DA6EA550C, 0x6F86E98CE4AB24A8]
"""The hashes of `photo(0)` to `photo(2)`."""


def photo(seed: int) -> Image.Image:
    """Smooth blobs of colour."""
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3)).astype(np.uint8)
    return Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(4))


def apart(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize("change", ["smaller", "jpeg", "brighter", "png"])
def test_a_copy_looks_the_same(change: str) -> None:
    image = photo(0)
    if change == "smaller":
        other = image.resize((200, 150))
    elif change == "brighter":
        other = image.point(lambda value: min(255, int(value * 1.1)))
    else:
        stream = io.BytesIO()
        image.save(stream, change.upper(), quality=40)
        other = Image.open(stream).convert("RGB")
    assert apart(phash(image), phash(other)) <= NEAR_BITS


def test_other_photos_look_different() -> None:
    hashes = [phash(photo(seed)) for seed in range(30)]
    assert min(apart(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 2 * NEAR_BITS


def test_a_hash_never_changes_as_registries_store_it() -> None:
    assert [phash(photo(seed)) for seed in range(3)] == GOLDEN


def test_the_nearest_of_those_that_are_known_is_named() -> None:
    assert nearest([0b0111, 0b1111_0000, 1 << 62], [0b0001, 0b0011], bits=3) == [1, None, 0]
    assert nearest([1, 2], []) == [None, None]


def test_files_are_hashed_as_they_look_and_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    photo(1).save(tmp_path / "a.jpg", quality=95)
    photo(1).rotate(90, expand=True).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 no")
    samples = [Sample(p.name, str(p), "x", None, p.name) for p in sorted(tmp_path.iterdir())]
    found = phashes(samples, 10**7)
    assert set(found) == {"a.jpg", "turned.jpg"}
    assert apart(found["a.jpg"], found["turned.jpg"]) <= NEAR_BITS


def test_copies_are_one_group_with_the_first_of_them_and_do_not_chain() -> None:
    first, near, chained, other = 0, 0b1111, 0b11111111, 2**63 - 1
    assert copies([first, None, near, other, chained, None, other ^ 1]).tolist() == [0, 1, 0, 3, 4, 5, 3]
