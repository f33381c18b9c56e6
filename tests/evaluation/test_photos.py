from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.data.decode import decode
from raytl.data.transforms import Preprocess, eval_view, prepare
from raytl.errors import NotFound
from raytl.evaluation.photos import batches

SHAPE = Preprocess(16, 20, "center", "bilinear", (0.5,) * 3, (0.5,) * 3)


def _photos(folder: Path, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (24, 30, 3)).astype(np.uint8)).save(path)
    return [str(path) for path in paths]


@pytest.mark.parametrize("batch", [1, 3, 7, 50])
def test_batches_hold_the_readable_photos_in_order_and_the_others_are_reported(batch: int, tmp_path: Path) -> None:
    paths = _photos(tmp_path, 20)
    Path(paths[4]).write_bytes(b"")
    Path(paths[19]).write_bytes(b"no image")
    bad: list[tuple[int, str]] = []
    done: list[int] = []
    found = list(batches(paths, SHAPE, batch, 10**6, lambda at, why: bad.append((at, why)), done.append))
    good = [i for i in range(20) if i not in (4, 19)]
    assert [i for each in found for i in each.ids.tolist()] == good
    expected = [[i for i in range(start, min(start + batch, 20)) if i in good] for start in range(0, 20, batch)]
    assert [each.ids.tolist() for each in found] == [ids for ids in expected if ids]
    assert [at for at, _ in bad] == [4, 19]
    assert "empty file" in bad[0][1]
    assert done == list(range(1, 21))
    third = next(each.images[i] for each in found for i, place in enumerate(each.ids.tolist()) if place == 2)
    assert third.equal(eval_view(prepare(decode(paths[2], 10**6), SHAPE), SHAPE))


def test_a_bomb_is_reported_not_decoded(tmp_path: Path) -> None:
    bad: list[str] = []
    paths = _photos(tmp_path, 1)
    assert list(batches(paths, SHAPE, 2, 100, lambda _, why: bad.append(why), lambda _: None)) == []
    assert "30 x 24 pixels" in bad[0]


def test_an_object_that_is_not_there_is_reported_as_a_missing_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(uri: str, *_: object) -> bytes:
        raise NotFound(f"{uri}: no such object")

    monkeypatch.setattr("raytl.data.decode.fetched", missing)
    bad: list[tuple[int, str]] = []
    paths = ["s3://b/gone.jpg", *_photos(tmp_path, 1), str(tmp_path / "gone.jpg")]
    found = list(batches(paths, SHAPE, 2, 10**6, lambda *pair: bad.append(pair), lambda _: None))
    assert [each.ids.tolist() for each in found] == [[1]]
    assert bad == [
        (0, "no such object"),
        (2, "cannot be read (No such file or directory)"),
    ]


def test_leaving_early_leaves_no_thread_at_work(tmp_path: Path) -> None:
    found = batches(_photos(tmp_path, 30), SHAPE, 2, 10**6, lambda *_: None, lambda _: None)
    next(iter(found))
    found.close()  # type: ignore[attr-defined]
    assert list(found) == []
