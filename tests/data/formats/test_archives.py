"""Archives as people have them, and as nobody should."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raytl.data.formats import archives, scan
from raytl.data.manifest import Manifest
from raytl.errors import DataError

IMAGES = ["cat/1.jpg", "cat/deep/2.PNG", "dog/1.jpg"]


def tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


def packed(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        return zipped(path, members)
    return tar(path, members, {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}[path.suffix])


def found(manifest: Manifest) -> dict[str, tuple[str, str | None]]:
    return {sample.key: (sample.label, sample.split) for sample in manifest.samples}


@pytest.mark.parametrize("name", ["a.zip", "a.ZIP", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.tar.bz2"])
@pytest.mark.parametrize("around", ["", "photos/", "photos/inner/"])
def test_an_archive_is_its_class_folders(tmp_path: Path, name: str, around: str) -> None:
    members = {f"{around}{image}": image.encode() for image in IMAGES} | {"__MACOSX/x": b"", ".DS_Store": b""}
    path = packed(tmp_path / name.lower(), members).rename(tmp_path / name)
    manifest = scan(str(path))
    assert found(manifest) == {image: (image.split("/")[0], None) for image in IMAGES}
    assert [Path(s.path).read_bytes() for s in manifest.samples] == [s.key.encode() for s in manifest.samples]


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("beside", ["README.md", "photos/LICENSE.txt", ".gitattributes"])
def test_a_file_beside_or_in_the_folder_around_is_ignored_and_named(tmp_path: Path, name: str, beside: str) -> None:
    members = {f"photos/{image}": b"x" for image in IMAGES} | {beside: b"text"}
    manifest = scan(str(packed(tmp_path / name, members)))
    assert list(found(manifest)) == IMAGES
    assert manifest.ignored == (beside,)


def test_renderings_in_an_archive_are_refused_with_what_to_do(tmp_path: Path) -> None:
    members = {f"set/{kind}/{image}": b"x" for kind in ("color", "grey") for image in IMAGES}
    with pytest.raises(
        DataError, match=r"(?s)2 folders contain the same .*unpack the archive and set data.uri to one of these"
    ):
        scan(str(zipped(tmp_path / "a.zip", members)))


def test_splits_in_an_archive_are_splits(tmp_path: Path) -> None:
    members = {f"d/{split}/{label}/1.jpg": b"x" for split in ("train", "val") for label in ("cat", "dog")}
    assert {split for _, split in found(scan(str(zipped(tmp_path / "d.zip", members)))).values()} == {"train", "val"}


@pytest.mark.parametrize(
    "evil", ["/etc/cat/1.jpg", "../cat/1.jpg", "cat/../../1.jpg", "..\\cat\\1.jpg", "C:/cat/1.jpg"]
)
@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_members_that_would_lie_outside_are_refused(tmp_path: Path, own_cache: Path, name: str, evil: str) -> None:
    path = packed(tmp_path / name, {"cat/0.jpg": b"x", evil: b"x"})
    with pytest.raises(DataError, match="nothing was unpacked"):
        scan(str(path))
    assert not list(own_cache.rglob("*.jpg"))
    assert not (tmp_path / "cat").exists()


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as out:
            info = tarfile.TarInfo("cat/1.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            out.addfile(info)
        with pytest.raises(DataError, match=r"'cat/1\.jpg' is a (link|device)"):
            scan(str(path))
    linked = tmp_path / "a.zip"
    with zipfile.ZipFile(linked, "w") as file:
        entry = zipfile.ZipInfo("cat/1.jpg")
        entry.external_attr = 0o120777 << 16
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        scan(str(linked))


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_what_swells_beyond_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(archives, "BOMB_BYTES", 1 << 20)
    path = packed(tmp_path / name, {f"cat/{i}.jpg": b"\0" * (1 << 20) for i in range(4)})
    with pytest.raises(DataError, match="more than 100 times the packed size"):
        scan(str(path))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_half_an_archive_is_said_so(tmp_path: Path, own_cache: Path, name: str) -> None:
    content = bytes(range(256)) * 400
    path = packed(tmp_path / name, dict.fromkeys(IMAGES, content))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="not a complete archive"):
        scan(str(path))
    assert not list(own_cache.rglob("*.jpg"))


@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_a_tar_that_is_cut_off_between_two_members_is_no_smaller_tar(tmp_path: Path, blocks: int) -> None:
    path = tar(tmp_path / "a.tar", dict.fromkeys(IMAGES, b"x"))  # a member is a block of header and one of content
    path.write_bytes(path.read_bytes()[: blocks * tarfile.BLOCKSIZE])
    with pytest.raises(DataError, match="not a complete archive"):
        scan(str(path))


def test_an_archive_is_unpacked_once_though_many_want_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "a.zip", dict.fromkeys(IMAGES, b"x"))
    calls: list[int] = []
    real = archives._unpack
    monkeypatch.setattr(archives, "_unpack", lambda *a: (calls.append(1), real(*a))[1])
    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(str, pool.map(lambda _: scan(str(path)).samples, range(8))))) == 1
    assert len(calls) == 1
    zipped(path, dict.fromkeys(IMAGES, b"yy"))
    assert Path(scan(str(path)).samples[0].path).read_bytes() == b"yy"


def shard(path: Path, labels: dict[str, str], kind: str = "cls") -> Path:
    members: dict[str, bytes] = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for key, label in labels.items():
        members[f"{key}.jpg"] = key.encode()
        members[f"{key}.{kind}"] = json.dumps({"label": label, "w": 3}).encode() if kind == "json" else label.encode()
    return tar(path, members)


@pytest.mark.parametrize("kind", ["cls", "txt", "json"])
def test_shards_of_webdataset(tmp_path: Path, kind: str) -> None:
    shard(tmp_path / "train-000.tar", {"0001": "cat", "0002": "dog"}, kind)
    shard(tmp_path / "train-001.tar", {"0003": "cat"}, kind)
    shard(tmp_path / "val-000.tar", {"0001": "dog", "v1.0/b": "cat"}, kind)
    assert found(scan(str(tmp_path))) == {
        "train-000/0001.jpg": ("cat", "train"),
        "train-000/0002.jpg": ("dog", "train"),
        "train-001/0003.jpg": ("cat", "train"),
        "val-000/0001.jpg": ("dog", "val"),
        "val-000/v1.0/b.jpg": ("cat", "val"),
    }


def test_shards_in_split_folders_and_a_shard_alone(tmp_path: Path) -> None:
    one = shard(tmp_path / "train" / "0.tar", {"1": "cat", "2": "dog"})
    shard(tmp_path / "test" / "0.tar", {"1": "cat"})
    assert found(scan(str(tmp_path)))["test/0/1.jpg"] == ("cat", "test")
    assert found(scan(str(one))) == {"0/1.jpg": ("cat", None), "0/2.jpg": ("dog", None)}


def test_samples_without_a_label_are_named(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", {"1.jpg": b"x", "1.cls": b"cat", "2.jpg": b"x", "3.jpg": b"x", "3.json": b"{}"})
    with pytest.raises(DataError, match=r"2 samples of the shards have no label.*\n.*2\.jpg(.|\n)*3\.jpg"):
        scan(str(tmp_path))


def test_one_shard_alone_and_the_same_in_a_folder_are_read_alike(tmp_path: Path) -> None:
    members = {f"2024.05.{i:02}.{end}": str(i % 2).encode() for i in range(8) for end in ("jpg", "seg.png", "cls")}
    (tmp_path / "shards").mkdir()
    for name in ("a.tar", "shards/a.tar", "a.zip", "a.tar.gz"):
        path = packed(tmp_path / name, members | {"._2024.05.00.jpg": b"x"})
        manifest = scan(str(path.parent if "/" in name else path))
        assert found(manifest) == {f"a/2024.05.{i:02}.jpg": (str(i % 2), None) for i in range(8)}
        assert manifest.ignored == ("a/._2024.05.00.jpg",)
        assert manifest.warnings == ("8 additional images in samples skipped, by key: .seg.png (8)",)


def test_a_tar_of_class_folders_with_captions_is_one_of_class_folders(tmp_path: Path) -> None:
    members = {
        f"{label}/{i}.{end}": f"{label} {i}".encode() for label in ("cat", "dog") for i in range(40) for end in ("jpg",)
    }
    path = tar(tmp_path / "a.tar", members | {"dog/39.txt": b"dog 39"})
    assert found(scan(str(path))) == {name: (name.split("/")[0], None) for name in members}


def test_files_beside_shards_are_ignored_and_counted(tmp_path: Path) -> None:
    shard(tmp_path / "train-000.tar", {"0001": "cat", "0002": "dog"})
    for name in ("README.md", "._train-000.tar", "__MACOSX/._x.jpg", "@eaDir/train-000.tar/thumb.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    manifest = scan(str(tmp_path))
    assert len(manifest.samples) == 2 and len(manifest.ignored) == 4 and "README.md" in manifest.ignored


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_accents_in_archives_are_of_one_form_and_two_files_of_one_name_are_refused(tmp_path: Path, name: str) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    images = {f"{composed}/1.jpg": b"1", f"{apart}/2.jpg": b"2", "dog/1.jpg": b"3"}
    manifest = scan(str(packed(tmp_path / name, images)))
    assert manifest.classes == (composed, "dog")
    assert [sample.key for sample in manifest.samples] == [f"{composed}/1.jpg", f"{composed}/2.jpg", "dog/1.jpg"]
    packed(tmp_path / name, images | {f"{apart}/1.jpg": b"4"})
    with pytest.raises(
        DataError, match=r"is 'cafe\\u0301/1\.jpg', the same name as 'caf\\xe9/1\.jpg' in another Unicode form"
    ):
        scan(str(tmp_path / name))


@pytest.mark.s3
def test_an_archive_and_shards_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    from raytl.store.open import open_store

    store = open_store(f"s3://{bucket}/data")
    store.put_file(zipped(tmp_path / "a.zip", dict.fromkeys(IMAGES, b"x")), "a.zip")
    store.put_file(shard(tmp_path / "train-0.tar", {"1": "cat", "2": "dog"}), "shards/train-0.tar")
    assert len(scan(f"s3://{bucket}/data/a.zip").samples) == 3
    assert len(scan(f"s3://{bucket}/data/shards").samples) == 2
