"""Images from files and from memory are the same images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from raytl.data.images import DecodedSet, FileImages
from raytl.data.manifest import Sample
from raytl.data.transforms import Preprocess
from raytl.errors import DataError

PREPROCESS = Preprocess(16, 20, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_files_are_decoded_and_prepared_by_position(make_photos: Callable[..., Path]) -> None:
    root = make_photos(per_class=2)
    odd = root / "red" / "a 'quoted'\nné.jpg"
    (root / "red" / "000.jpg").rename(odd)
    paths = sorted(root.rglob("*.jpg"))
    images = FileImages([Sample(p.name, str(p), p.parent.name) for p in paths], PREPROCESS, 10**6)
    assert len(images) == 6
    assert images[paths.index(odd)].shape == (20, 20, 3)
    assert images[0][..., 0].mean() > images[0][..., 1].mean()  # blue is channel 0 of these photos


def test_a_file_that_broke_since_the_check_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"")
    images = FileImages([Sample("broken.jpg", str(tmp_path / "broken.jpg"), "a")], PREPROCESS, 10**6)
    with pytest.raises(DataError, match=r"broken\.jpg: empty file .* changed since.*rerun the command"):
        images[0]


@pytest.mark.parametrize("is_pulled", [False, True])
def test_a_file_that_was_replaced_since_the_check_is_an_error(
    is_pulled: bool, make_photos: Callable[..., Path], own_cache: Path
) -> None:
    one, other = sorted(make_photos(per_class=1).rglob("*.jpg"))[:2]
    digest = hashlib.sha256(one.read_bytes()).hexdigest()
    if is_pulled:
        folder = own_cache / "pulled/place/files"
        folder.mkdir(parents=True)
        one = one.rename(folder / one.name)
    images = FileImages([Sample(one.name, str(one), "a", digest=digest)], PREPROCESS, 10**6)
    assert images[0].shape == (20, 20, 3)
    one.write_bytes(other.read_bytes())
    advice = (
        r" audit the data again$"
        if not is_pulled
        else rf" audit the data again\. .*delete {own_cache}/pulled/place, and"
    )
    with pytest.raises(DataError, match=rf"{one}: its content changed .*SHA-256.*rerun the command to{advice}"):
        images[0]


def test_a_decoded_set_reads_each_image_from_its_place_without_a_copy(tmp_path: Path) -> None:
    one, other = (np.random.default_rng(i).integers(0, 256, (4 + i, 5, 3), dtype=np.uint8) for i in range(2))
    (tmp_path / "a").write_bytes(b"xx" + one.tobytes())
    (tmp_path / "b").write_bytes(other.tobytes())
    places = np.array([[1, 0, 5, 5], [0, 2, 4, 5], [1, 0, 5, 5]])
    images = DecodedSet([tmp_path / "a", tmp_path / "b"], places)
    assert len(images) == 3
    np.testing.assert_array_equal(images[0], other)
    np.testing.assert_array_equal(images[1], one)
    assert images.bytes == one.nbytes + 2 * other.nbytes
    assert np.shares_memory(images[0], images[2])
    with pytest.raises(ValueError, match="read-only"):
        images[0][:] = 0
