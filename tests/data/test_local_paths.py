"""Samples scanned on one node are found on another."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from raytl.data import local_paths
from raytl.data.formats import scan
from raytl.data.local_paths import on_this_node
from raytl.data.manifest import Sample
from raytl.data.recorded_objects import identity
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Mask
from raytl.errors import Unavailable
from raytl.events import Message, Recorder
from raytl.store.sync import pull
from tests.data.annotations import writers


def test_samples_that_are_here_are_left_as_they_are(
    make_photos: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = scan(str(make_photos(4))).samples
    monkeypatch.setattr(local_paths, "scan", lambda *_: pytest.fail("nothing is missing"))
    assert on_this_node(samples, "s3://nowhere") == samples
    assert on_this_node((), "s3://nowhere") == ()


def test_samples_of_another_node_are_looked_for_by_their_keys(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    here = make_photos(4)
    samples = scan(str(here)).samples
    moved = shutil.move(here, tmp_path / "moved")
    found = on_this_node(samples, str(moved))
    assert [sample.key for sample in found] == [sample.key for sample in samples]
    assert all(Path(sample.path).is_file() for sample in found)


def test_rows_without_a_label_are_looked_for_by_their_keys(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    here = make_photos(2)
    names = sorted(path.relative_to(here).as_posix() for path in here.rglob("*.jpg"))
    rows = [f"./{name},,{name[0]}" if i % 2 else f"{name},,{name[0]}" for i, name in enumerate(names)]
    (here / "votes.csv").write_text("\n".join(["path,label,anna", *rows]) + "\n")
    samples = scan(str(here / "votes.csv"), votes=("anna",)).samples
    moved = shutil.move(here, tmp_path / "moved")
    found = on_this_node(samples, f"{moved}/votes.csv")
    assert [(one.key, one.label) for one in found] == [(one.key, one.label) for one in samples]
    assert all(Path(one.path).is_file() and "moved" in one.path for one in found)


def test_annotated_images_and_their_masks_are_looked_for_by_their_keys(tmp_path: Path) -> None:
    writers.coco(tmp_path / "boxes")
    for name in ("a", "b"):
        writers.image(tmp_path / f"masks/images/{name}.jpg")
        Image.new("L", (40, 24)).save(writers.image(tmp_path / f"masks/masks/{name}.png"))
    for kind in ("boxes", "masks"):
        samples = scan(str(tmp_path / kind)).samples
        moved = on_this_node(samples, str(shutil.move(tmp_path / kind, tmp_path / f"moved {kind}")))
        files = [sample.path for sample in moved]
        files += [sample.target.path for sample in moved if isinstance(sample.target, Mask)]
        assert len(files) == 4
        assert all(Path(file).is_file() and "moved" in file for file in files)
        assert [sample.key for sample in moved] == [sample.key for sample in samples]


def test_other_masks_of_the_same_images_are_another_set(tmp_path: Path) -> None:
    def table(mask: str, image: str = "1" * 64) -> SampleTable:
        targets = [Mask(f"{i}.png", f"/{i}.png", (), digest=each) for i, each in enumerate(("2" * 64, mask))]
        return SampleTable.of(Sample(f"{i}.jpg", f"/{i}.jpg", each, digest=image) for i, each in enumerate(targets))

    assert identity(table("3" * 64)) == identity(table("3" * 64))
    assert len({identity(each) for each in (table("3" * 64), table("4" * 64), table("3" * 64, "5" * 64))}) == 3


def test_what_is_nowhere_keeps_its_place(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    samples = scan(str(make_photos(2))).samples
    shutil.rmtree(tmp_path / "photos")
    assert on_this_node(samples, str(tmp_path / "photos")) == samples


@pytest.mark.s3
@pytest.mark.parametrize("there", [True, False])
def test_a_copy_is_used_where_the_bucket_cannot_be_read_with_a_warning(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / "1.jpg"
    if there:
        photo.touch()
    samples, said = [Sample("1.jpg", str(photo), "a", digest="0")], Recorder()

    def unreachable(*_: object) -> SampleTable:
        raise Unavailable("no route to the store")

    monkeypatch.setattr(local_paths, "current", unreachable)
    if not there:
        with pytest.raises(Unavailable, match="no route"):
            on_this_node(samples, "s3://bucket/photos", said)
        return
    assert on_this_node(samples, "s3://bucket/photos", said)[0].path == str(photo)
    assert [event.text for event in said.events if isinstance(event, Message)] == [
        "s3://bucket/photos: no route to the store; this node's copy is used, and each file is verified when it is read"
    ]


@pytest.mark.parametrize("needs_scan", [False, True])
def test_another_node_pulls_what_is_in_a_bucket(
    make_photos: Callable[..., Path],
    bucket: str,
    s3_client: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    needs_scan: bool,
) -> None:
    from raytl.store.open import open_store

    source, store = make_photos(3), open_store(f"s3://{bucket}/photos")
    for path in source.rglob("*.jpg"):
        key = path.relative_to(source).as_posix()
        store.put_file(path, unicodedata.normalize("NFD", f"é{key}") if needs_scan else key)
    samples = scan(store.uri).samples
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "another node"))
    shutil.rmtree(Path(samples[0].path).parents[1])
    if not needs_scan:
        monkeypatch.setattr(local_paths, "scan", lambda *_: pytest.fail("the paths follow from the keys"))
    found = on_this_node(samples, store.uri)
    assert [sample.key for sample in found] == [sample.key for sample in samples]
    assert all(Path(sample.path).is_relative_to(tmp_path / "another node") for sample in found)


@pytest.mark.s3
def test_of_the_workers_of_a_node_one_lists_and_pulls_and_the_others_wait_for_it(
    make_photos: Callable[..., Path], bucket: str, s3_client: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raytl.store.open import open_store

    source, store = make_photos(3), open_store(f"s3://{bucket}/photos")
    for path in source.rglob("*.jpg"):
        store.put_file(path, path.relative_to(source).as_posix())
    samples = scan(store.uri).samples
    shutil.rmtree(Path(samples[0].path).parents[2])
    pulls = []
    monkeypatch.setattr(local_paths, "pull", lambda *given, s3: pulls.append(given) or pull(*given, s3=s3))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: on_this_node(samples, store.uri), range(8)))
    assert all(each == samples for each in found)
    assert len(pulls) == 1
