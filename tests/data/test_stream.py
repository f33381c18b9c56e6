"""Data that stays in its bucket is the same data: samples, snapshot and batches, from any number of processes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raytl.config.schema import AugmentConfig, DataConfig
from raytl.data.audit import audit, unaudited
from raytl.data.augment import TrainAugment
from raytl.data.cache import open_images
from raytl.data.formats import scan
from raytl.data.loader import EvalLoader, TrainLoader
from raytl.data.local_paths import on_this_node
from raytl.data.manifest import Sample
from raytl.data.snapshot import take
from raytl.data.stream import StreamedImages
from raytl.data.transforms import Preprocess
from raytl.errors import DataError, StoreError
from raytl.store import retry, s3
from raytl.store.cache import cache_root
from raytl.tasks.classification.targets import LabelEncoder
from raytl.world import World
from tests.store.proxy import Proxy, error, fraction, proxied, wrong_bytes

pytestmark = pytest.mark.s3
PREPROCESS = Preprocess(16, 20, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
AUGMENT = TrainAugment(AugmentConfig(strength=0.7), PREPROCESS)


@pytest.fixture
def photos(make_photos: Callable[..., Path], bucket: str, s3_client: Any) -> str:
    """The URI of 36 photos of three classes."""
    source = make_photos(12)
    for path in source.rglob("*.jpg"):
        s3_client.upload_file(str(path), bucket, f"set/{path.relative_to(source).as_posix()}")
    return f"s3://{bucket}/set"


@pytest.fixture
def between(photos: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the bucket, with short pauses between attempts."""
    monkeypatch.setattr(retry, "MAX_PAUSE_S", 0.01)
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3.forget_client()
        yield proxy


def config(uri: str, **more: Any) -> DataConfig:
    return DataConfig(uri=uri, **{"stream": True, "cache": "off", **more})


def audited(uri: str, **more: Any) -> tuple[Sample, ...]:
    asked = config(uri, **more)
    return audit(scan(uri, stream=asked.stream), asked).samples


def gets(proxy: Proxy) -> int:
    return sum(count for asked, count in proxy.requests.items() if asked.startswith("GET") and asked.endswith(".jpg"))


def epoch(samples: tuple[Sample, ...], asked: DataConfig, workers: int, world: World, start: int = 0) -> dict[int, Any]:
    """Every sample of an epoch as this rank would see it, by its place."""
    encoder = LabelEncoder(np.zeros(len(samples), int))
    images = open_images(samples, PREPROCESS, asked)
    loader = TrainLoader(images, encoder, AUGMENT, batch=5, seed=3, world=world, workers=workers)
    try:
        batches = [batch for batch, _ in loader.epoch(2, start)]
    finally:
        loader.close()
    return {int(i): image for batch in batches for i, image in zip(batch.ids, batch.images, strict=True)}


def equal(one: dict[int, Any], other: dict[int, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[i], other[i]) for i in one)


def test_a_streamed_set_is_the_pulled_one_by_its_snapshot_and_nothing_is_kept(photos: str, own_cache: Path) -> None:
    streamed = take(config(photos))
    assert not list(own_cache.rglob("*.jpg"))
    pulled = take(config(photos, stream=False))
    assert (streamed.id, streamed.images, streamed.size_bytes) == (pulled.id, pulled.images, pulled.size_bytes)
    assert list(own_cache.rglob("*.jpg"))


def test_what_was_looked_through_once_costs_a_listing(photos: str, between: Proxy) -> None:
    audited(photos)
    assert gets(between) == 36
    audited(photos)
    assert gets(between) == 36


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_those_of_pulled_data_from_any_number_of_processes(photos: str, workers: int) -> None:
    there, here = audited(photos), audited(photos, stream=False)
    assert [s.key for s in there] == [s.key for s in here] and all(s.path.startswith("s3://") for s in there)
    wanted = epoch(here, config(photos), 0, World.solo())
    assert equal(epoch(there, config(photos), workers, World.solo()), wanted)


def test_an_epoch_goes_on_in_its_middle_on_other_workers_and_every_sample_comes_once(photos: str) -> None:
    samples = audited(photos)
    whole = epoch(samples, config(photos), 0, World.solo())
    rest = [epoch(samples, config(photos), 1, World(rank, 3, rank), start=4) for rank in range(3)]
    together = {i: image for part in rest for i, image in part.items()}
    first = set(whole) - set(together)
    assert sum(map(len, rest)) == len(together) and 0 < len(first) < len(whole)
    assert equal(together, {i: whole[i] for i in together})


def test_training_asks_for_each_image_once_an_epoch(photos: str, between: Proxy) -> None:
    samples = audited(photos)
    before = gets(between)
    epoch(samples, config(photos), 2, World.solo())
    assert gets(between) - before == len(samples)


def test_evaluation_comes_through_a_bad_day(photos: str, between: Proxy) -> None:
    samples = audited(photos)
    images = open_images(samples, PREPROCESS, config(photos))
    between.do(error(503, "SlowDown"), fraction(0.3))
    loader = EvalLoader(images, PREPROCESS, batch=8, world=World.solo(), workers=1)
    ids = [i for batch in loader for i in batch.ids.tolist()]
    loader.close()
    assert ids == list(range(len(samples))) and between.done > 0


def test_images_that_fit_the_cache_are_decoded_on_the_way_and_not_fetched_again(photos: str, between: Proxy) -> None:
    asked = config(photos, cache="on")
    samples = audit(scan(photos, stream=True), asked, PREPROCESS).samples
    learned = tuple(sample for sample in samples if sample.split != "test")
    before = gets(between)
    assert equal(epoch(learned, asked, 0, World.solo()), epoch(learned, config(photos), 0, World.solo()))
    assert gets(between) - before == len(learned)  # by the second of the two, which has no cache


def test_an_object_that_changed_since_it_was_checked_is_named(photos: str, bucket: str, s3_client: Any) -> None:
    samples = audited(photos)
    images = StreamedImages(samples, PREPROCESS, 10**6)
    s3_client.copy_object(Bucket=bucket, Key="set/blue/000.jpg", CopySource=f"{bucket}/set/red/000.jpg")
    with pytest.raises(DataError, match=r"set/blue/000.jpg: its content changed since the data was audited"):
        images[0]


def test_an_object_that_went_away_is_named(photos: str, bucket: str, s3_client: Any) -> None:
    samples = audited(photos)
    s3_client.delete_object(Bucket=bucket, Key="set/blue/000.jpg")
    images = StreamedImages(samples, PREPROCESS, 10**6)
    images.prefetch([0, 1])
    with pytest.raises(StoreError, match=r"set/blue/000.jpg"):
        images[0]
    assert images[1].dtype == np.uint8


def test_a_table_is_pulled_and_what_it_names_is_streamed(photos: str, bucket: str, s3_client: Any) -> None:
    rows = [f"blue/{i:03d}.jpg,b" for i in range(4)] + [f"{photos}/red/{i:03d}.jpg,r" for i in range(4)]
    s3_client.put_object(Bucket=bucket, Key="set/rows.csv", Body="\n".join(["path,label", *rows]).encode())
    there, here = (scan(f"{photos}/rows.csv", stream=stream) for stream in (True, False))
    assert [(s.key, s.label) for s in there.samples] == [(s.key, s.label) for s in here.samples]
    assert {s.path for s in there.samples} == set(there.objects)
    s3_client.put_object(Bucket=bucket, Key="set/rows.csv", Body=b"path,label\nblue/000.jpg,b\nblue/none.jpg,r")
    with pytest.raises(DataError, match=r"paths without a file:\n.*blue/none.jpg"):
        scan(f"{photos}/rows.csv", stream=True)


def test_streamed_samples_are_where_they_are_on_every_node(photos: str) -> None:
    samples = audited(photos)
    assert on_this_node(samples, photos) == samples


def packed(photos: Path, split: str, labeled: bool = True) -> bytes:
    """A shard of every third photo and its label."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for number, path in enumerate(sorted(photos.rglob("*.jpg"))):
            for name, content in ((f"{number:04d}.jpg", path.read_bytes()), (f"{number:04d}.cls", path.parent.name)):
                if labeled or name.endswith(".jpg"):
                    data = content if isinstance(content, bytes) else content.encode()
                    info = tarfile.TarInfo(f"{split}/{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def test_shards_are_streamed_by_parts_and_read_through_once(
    make_photos: Callable[..., Path], bucket: str, s3_client: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "val"):
        photos = make_photos(4, root=Path(f"{make_photos(1)}-{split}"), seed=len(split))
        s3_client.put_object(Bucket=bucket, Key=f"shards/{split}-000.tar", Body=packed(photos, split))
    uri = f"s3://{bucket}/shards"
    there, here = take(config(uri)), take(config(uri, stream=False))
    assert (there.id, there.images, there.size_bytes) == (here.id, here.images, here.size_bytes)
    streamed, pulled = audited(uri), audited(uri, stream=False)
    assert all("#bytes=" in sample.path for sample in streamed)
    assert equal(epoch(streamed, config(uri), 1, World.solo()), epoch(pulled, config(uri), 0, World.solo()))
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3.forget_client()
        audited(uri)
        assert not any(".tar" in asked for asked in proxy.requests)


def test_shards_that_are_broken_or_lack_labels_are_named(
    make_photos: Callable[..., Path], bucket: str, s3_client: Any
) -> None:
    content = packed(make_photos(2), "train", labeled=False)
    s3_client.put_object(Bucket=bucket, Key="bare/train-000.tar", Body=content)
    with pytest.raises(DataError, match=r"6 samples of the shards have no label .*\n  train-000: 'train/0000.jpg'"):
        scan(f"s3://{bucket}/bare", stream=True)
    s3_client.put_object(Bucket=bucket, Key="torn/train-000.tar", Body=content[:3000])
    with pytest.raises(
        DataError, match=r"train-000.tar is not a complete tar \(unexpected end of data\); create it again"
    ):
        scan(f"s3://{bucket}/torn", stream=True)


def test_what_cannot_be_streamed_is_said(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.stream: .* is on this machine; expected an s3:// URI"):
        scan(str(tmp_path), stream=True)
    with pytest.raises(
        DataError, match=r"some.zip is an archive, which cannot be streamed; expected class folders, shards"
    ):
        scan(f"s3://{bucket}/some.zip", stream=True)


def test_an_object_that_no_image_can_be_is_not_fetched(photos: str, between: Proxy) -> None:
    found = scan(photos, stream=True)
    swollen = replace(found, objects={path: replace(info, size=2**25) for path, info in found.objects.items()})
    with pytest.raises(
        DataError, match=r"36 of 36 images cannot be decoded(.|\n)*33554432 bytes, more than an image of"
    ):
        audit(swollen, config(photos, max_pixels=9))
    assert gets(between) == 0


def shard_of(bucket: str, s3_client: Any, members: list[tuple[str, bytes]], name: str = "train-000.tar") -> str:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    s3_client.put_object(Bucket=bucket, Key=f"shards/{name}", Body=made.getvalue())
    return f"s3://{bucket}/shards"


def members(photos: Path, prefix: str = "") -> list[tuple[str, bytes]]:
    """Each photo and its label, in the order of their numbers."""
    files = sorted(photos.rglob("*.jpg"))
    pairs = [((f"{i}.jpg", p.read_bytes()), (f"{i}.cls", p.parent.name.encode())) for i, p in enumerate(files)]
    return [(f"{prefix}{name}", content) for pair in pairs for name, content in pair]


def test_a_shards_names_are_those_of_an_unpacked_one(make_photos: Any, bucket: str, s3_client: Any) -> None:
    first, *rest = members(make_photos(4), "./")
    uri = shard_of(bucket, s3_client, [first, *rest, ("./0.jpg", rest[1][1])])  # the last of one name counts
    there, here = scan(uri, stream=True), scan(uri)
    assert [s.key for s in there.samples] == [s.key for s in here.samples]
    assert take(config(uri, on_duplicate="drop")).id == take(config(uri, stream=False)).id


def test_a_streamed_shard_says_what_an_unpacked_one_says(make_photos: Any, bucket: str, s3_client: Any) -> None:
    photos = make_photos(4)
    content = next(photos.rglob("*.jpg")).read_bytes()
    named = [(name.replace(".", "/2024.05.cafe\u0301.", 1), data) for name, data in members(photos)]
    junk = [("0/._2024.05.cafe\u0301.jpg", b"x"), ("0/2024.05.cafe\u0301.seg.png", content), ("d\\9.npy", b"x")]
    captions = [(f"{number}/2024.05.cafe\u0301.txt", b"caption %d" % number) for number in range(12)]
    uri = shard_of(bucket, s3_client, [*named, *junk, *captions])
    s3_client.put_object(Bucket=bucket, Key="shards/README.md", Body=b"x")
    for _ in range(2):  # the second time from what was noted of the shard
        there, here = scan(uri, stream=True), scan(uri)
        assert [(s.key, s.label, s.split) for s in there.samples] == [(s.key, s.label, s.split) for s in here.samples]
        assert (there.ignored, there.warnings) == (here.ignored, here.warnings)
    assert len(there.samples) == 12 and "caf\u00e9" in there.samples[0].key and len(there.ignored) == 15


@pytest.mark.parametrize("name", ["../0.jpg", "/0.jpg"])
def test_a_shards_members_that_lead_out_of_it_are_refused(
    make_photos: Any, bucket: str, s3_client: Any, name: str
) -> None:
    uri = shard_of(bucket, s3_client, [*members(make_photos(2)), (name, b"x")])
    with pytest.raises(DataError, match="would be written outside the archive folder"):
        scan(uri, stream=True)


def test_compressed_shards_are_said_so_streamed_and_pulled(make_photos: Any, bucket: str, s3_client: Any) -> None:
    uri = shard_of(bucket, s3_client, members(make_photos(2)))
    s3_client.put_object(Bucket=bucket, Key="shards/more.tar.gz", Body=b"x")
    for stream in (True, False):
        with pytest.raises(DataError, match=r"1 archives are not plain .tar files:\n  more.tar.gz"):
            scan(uri, stream=stream)


def test_one_wrong_byte_of_a_shards_part_is_fetched_again(
    make_photos: Any, bucket: str, s3_client: Any, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = shard_of(bucket, s3_client, members(make_photos(4)))
    right = take(config(uri)).id
    (cache_root() / "audits").rename(cache_root() / "forgotten")
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3.forget_client()
        proxy.do(wrong_bytes, lambda asked: asked.path.endswith(".tar") and asked.number == 5)
        assert take(config(uri)).id == right
        assert proxy.done == 1


def test_a_shard_that_is_replaced_after_it_was_listed_is_said_so(make_photos: Any, bucket: str, s3_client: Any) -> None:
    uri = shard_of(bucket, s3_client, members(make_photos(4)))
    found = scan(uri, stream=True)
    photos = make_photos(4, classes=("red", "green", "blue"), root=Path(f"{make_photos(1)}-other"))
    shard_of(bucket, s3_client, members(photos))
    with pytest.raises(StoreError, match="its content changed since it was listed; run again"):
        audit(found, config(uri))


def test_what_was_found_to_have_changed_is_looked_at_again(photos: str, bucket: str, s3_client: Any) -> None:
    samples = audited(photos)
    wrong = replace(samples[0], digest="0" * 64)  # as if other bytes had come under this etag
    with pytest.raises(DataError, match="content changed since the data was audited"):
        StreamedImages([wrong], PREPROCESS, 10**6)[0]
    assert [s.path for s in samples if s.path in unaudited(scan(photos, stream=True), config(photos).max_pixels)] == [
        wrong.path
    ]
    audited(photos)
    assert not unaudited(scan(photos, stream=True), config(photos).max_pixels)


def test_a_table_on_this_machine_may_name_objects(photos: str, tmp_path: Path) -> None:
    rows = [f"{photos}/{label}/{i:03d}.jpg,{label}" for label in ("blue", "red") for i in range(4)]
    (tmp_path / "rows.csv").write_text("\n".join(["path,label", *rows]))
    there, here = (scan(str(tmp_path / "rows.csv"), stream=stream) for stream in (True, False))
    assert [(s.key, s.label) for s in there.samples] == [(s.key, s.label) for s in here.samples]
    assert all(sample.path.startswith("s3://") for sample in there.samples)
