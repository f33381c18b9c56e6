"""Sources of images without labels, in each layout."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from raytl.config.schema import Experiment
from raytl.data.formats import unlabelled
from raytl.data.formats.unlabelled import scan_unlabelled
from raytl.data.sample_table import SampleTable
from raytl.data.sources import UNLABELLED, located, other_sources
from raytl.errors import DataError

KEY = UNLABELLED


def photos(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = photos(tmp_path / "all", "loose.jpg", "cat/1.png", "a/b/c/d.jpg")
    (folder / "notes.txt").write_text("no image")
    return folder


def keys(uri: Path | str) -> list[str]:
    return [key.removeprefix(f"{KEY}:") for key in scan_unlabelled(str(uri), KEY).samples.keys]


def test_images_lie_at_any_depth_and_have_no_target(source: Path) -> None:
    manifest = scan_unlabelled(str(source), KEY)
    assert keys(source) == ["a/b/c/d.jpg", "cat/1.png", "loose.jpg"]
    assert {(each.target, each.split) for each in manifest.samples} == {(None, "train")}
    assert manifest.ignored == ("notes.txt",)
    assert all(Path(each.path).is_file() for each in manifest.samples)


def test_archives_and_shards_need_no_labels(source: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.write(source / "loose.jpg", "x/loose.jpg")
    assert keys(tmp_path / "all.zip") == ["x/loose.jpg"]
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards/0.tar", "w") as shard:
        shard.add(source / "loose.jpg", "0001.jpg")
    assert keys(tmp_path / "shards") == ["0.tar/0001.jpg"]


def test_a_manifest_needs_only_a_column_of_paths(source: Path) -> None:
    (source / "list.csv").write_text("path\nloose.jpg\ncat/1.png\nloose.jpg\n")
    assert keys(source / "list.csv") == ["cat/1.png", "loose.jpg"]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/secret.png", "a/../../secret.png"])
def test_a_manifest_from_a_bucket_names_no_file_of_this_machine(
    source: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    (source / "list.csv").write_text(f"path\nloose.jpg\n{path}\n")
    monkeypatch.setattr(unlabelled, "pulled_parts", lambda *_: ("s3://b/all", source / "list.csv", ["list.csv"], []))
    monkeypatch.setattr(unlabelled, "pull", lambda *_, **__: source)
    with pytest.raises(DataError, match="secret.png' is outside the manifest's folder; expected paths below it"):
        scan_unlabelled("s3://b/all/list.csv", KEY)


def test_rows_of_a_test_have_that_split(source: Path) -> None:
    (source / "list.csv").write_text("path,split\nloose.jpg,Testing\ncat/1.png,train\na/b/c/d.jpg,\n./loose.jpg,\n")
    samples = scan_unlabelled(str(source / "list.csv"), KEY).samples
    assert list(samples.splits) == ["train", "train", "test"]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda _: None, r"data\.unlabelled: .*: no such folder; expected a folder, an s3:// prefix"),
        (lambda path: path.mkdir(), r"data\.unlabelled: .*: no images found; expected files of \.apng"),
        (lambda path: photos(path, "a.jpg") and (path / "a.jpg").rename(path / "a.txt"), r"1 files that are not images"),
    ],
)  # fmt: skip
def test_a_source_without_images_is_an_error(tmp_path: Path, make: object, match: str) -> None:
    make(tmp_path / "all")  # type: ignore[operator]
    with pytest.raises(DataError, match=match):
        scan_unlabelled(str(tmp_path / "all"), KEY)


def test_a_manifest_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"list\.csv: no such manifest; expected a \.csv"):
        scan_unlabelled(str(tmp_path / "list.csv"), KEY)


def test_another_scheme_is_an_error() -> None:
    with pytest.raises(DataError, match=r"gs://x: unknown scheme; expected a folder"):
        scan_unlabelled("gs://x", KEY)


def test_samples_are_found_again_on_another_node(source: Path, tmp_path: Path) -> None:
    samples = scan_unlabelled(str(source), KEY).samples
    moved = str(shutil.move(source, tmp_path / "elsewhere"))
    config = Experiment(name="x", data={"uri": "photos/", "unlabelled": moved}, model="m")
    labelled = samples[:1].with_paths(["/mine/1.jpg"])
    table = SampleTable.of([*(each for each in labelled), *samples[1:]])
    renamed = SampleTable.of([type(table[0])("own/1.jpg", "/mine/1.jpg", "a", "train"), *table[1:]])
    found = located(renamed, other_sources(config), lambda own: own)
    assert [path.removeprefix(moved) for path in found.paths] == ["/mine/1.jpg", "/cat/1.png", "/loose.jpg"]


@pytest.mark.s3
@pytest.mark.parametrize("stream", [False, True])
def test_images_come_from_a_bucket(source: Path, bucket: str, tmp_path: Path, stream: bool) -> None:
    from raytl.store.open import open_store

    store = open_store(f"s3://{bucket}/all")
    for name in ("loose.jpg", "cat/1.png", "notes.txt"):
        store.put_file(source / name, name)
    manifest = scan_unlabelled(store.uri, KEY, stream=stream)
    assert [key.partition(":")[2] for key in manifest.samples.keys] == ["cat/1.png", "loose.jpg"]
    assert all(path.startswith("s3://") == stream for path in manifest.samples.paths)
    assert len(manifest.objects) == (2 if stream else 0)
    (tmp_path / "list.csv").write_text(f"path\n{store.uri}/loose.jpg\n")
    assert all(Path(each.path).is_file() for each in scan_unlabelled(str(tmp_path / "list.csv"), KEY).samples)
    store.put_file(tmp_path / "list.csv", "list.csv")
    assert len(scan_unlabelled(f"{store.uri}/list.csv", KEY).samples) == 1
