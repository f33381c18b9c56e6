"""A snapshot's id follows the content, and a pinned one says what changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.config.schema import DataConfig
from raytl.data.snapshot import take
from raytl.errors import DataError

MakePhotos = Callable[..., Path]


def config(folder: Path, snapshot: str | None = None) -> DataConfig:
    return DataConfig(uri=str(folder), snapshot=snapshot)


def test_the_same_content_elsewhere_is_the_same_snapshot(make_photos: MakePhotos, tmp_path: Path) -> None:
    folder = make_photos(6)
    one = take(config(folder))
    shutil.copytree(folder, tmp_path / "elsewhere")
    other = take(config(tmp_path / "elsewhere"))
    assert one.id == other.id
    assert len(one.id) == 16
    assert sum(sum(by_class.values()) for by_class in one.images.values()) == len(list(folder.rglob("*.jpg")))
    assert one.size_bytes == sum(path.stat().st_size for path in folder.rglob("*.jpg"))
    assert one.folder == str(folder)


def test_a_pinned_snapshot_is_taken_by_its_id_or_the_beginning_of_it(make_photos: MakePhotos) -> None:
    folder = make_photos(6)
    found = take(config(folder)).id
    assert take(config(folder, found)).id == take(config(folder, found[:8])).id == found


def test_what_changed_since_is_named_key_by_key(make_photos: MakePhotos) -> None:
    folder = make_photos(6)
    pinned = take(config(folder)).id
    first, second = sorted(folder.rglob("*.jpg"))[:2]
    first.unlink()
    for path in (second, second.with_name("new.jpg")):
        noise = np.random.default_rng(len(path.name)).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    keys = [path.relative_to(folder).as_posix() for path in (second, first, second.with_name("new.jpg"))]
    told = rf"{pinned}, but (.|\n)*1 changed:\n  {keys[0]}\n1 removed:\n  {keys[1]}\n1 added:\n  {keys[2]}\n"
    with pytest.raises(DataError, match=told):
        take(config(folder, pinned))


def test_a_snapshot_that_this_node_never_saw_says_so(make_photos: MakePhotos) -> None:
    with pytest.raises(DataError, match="unknown on this node"):
        take(config(make_photos(6), "0123456789abcdef"))


def test_taking_a_snapshot_keeps_to_the_limit_of_the_node(make_photos: MakePhotos, own_cache: Path) -> None:
    old = own_cache / "pulled" / "old"
    old.mkdir(parents=True)
    (old / "file").write_bytes(b"x")
    folder = make_photos(6)
    take(config(folder))
    assert old.exists()
    take(DataConfig(uri=str(folder), pull_limit_gb=1e-9 / 2))
    assert not old.exists()
