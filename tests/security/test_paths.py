"""Nothing that is fetched or unpacked lands outside its folder, names what is outside, or swells beyond measure."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from raytl.config.load import load_experiment
from raytl.config.stored import stored_experiment
from raytl.data.decode import BadImage, decode
from raytl.data.formats import archives, scan
from raytl.errors import ConfigError, DataError, RunError, StoreError
from raytl.run.mirror import Mirror
from raytl.store.memory import MemoryStore
from raytl.store.open import open_store
from raytl.store.sync import pull
from tests.conftest import MakePhotos

Member = tuple[str, bytes]
OUTSIDE = [
    "../evil.jpg",
    "a/../../evil.jpg",
    "/tmp/raytl-evil.jpg",
    "..\\evil.jpg",
    "C:\\evil.jpg",
    "\\\\host\\evil.jpg",
]


def everything_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_that_would_lie_outside_is_refused(kind: str, name: str, tmp_path: Path, own_cache: Path) -> None:
    file = tmp_path / f"slip.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr(zipfile.ZipInfo(name), b"x")
    else:
        with tarfile.open(file, "w") as tar:
            tar.addfile(_sized(tarfile.TarInfo(name), 1), BytesIO(b"x"))
    with pytest.raises(DataError, match=r"slip.* the member .* nothing was unpacked"):
        scan(str(file))
    assert not any("evil" in path for path in everything_below(own_cache))
    assert not Path("/tmp/raytl-evil.jpg").exists()


KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_that_is_no_file_is_refused_and_nothing_is_written_through_it(kind: bytes, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        link = tarfile.TarInfo("red")
        link.type, link.linkname = kind, str(target)
        tar.addfile(link)
        tar.addfile(_sized(tarfile.TarInfo("red/0.jpg"), 1), BytesIO(b"x"))
    with pytest.raises(DataError, match=r"evil.tar: the member 'red' is a"):
        scan(str(tmp_path / "evil.tar"))
    assert not list(target.iterdir())


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("red/0.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"evil.zip: the member 'red/0.jpg' is a link"):
        scan(str(tmp_path / "evil.zip"))


def zip_bomb(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(3):
            packed.writestr(f"red/{number}.jpg", bytes(1 << 20))


def tar_bomb(file: Path) -> None:
    with tarfile.open(file, "w:gz") as tar:
        for number in range(3):
            tar.addfile(_sized(tarfile.TarInfo(f"red/{number}.jpg"), 1 << 20), BytesIO(bytes(1 << 20)))


def bomb_of_empty_files(file: Path) -> None:
    with tarfile.open(file, "w:gz") as tar:
        for number in range(5000):
            tar.addfile(tarfile.TarInfo(f"red/{number}.jpg"))


@pytest.mark.parametrize("make, ending", [(zip_bomb, "zip"), (tar_bomb, "tar.gz"), (bomb_of_empty_files, "tar.gz")])
def test_an_archive_that_swells_is_refused(
    make: Callable[[Path], None], ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "BOMB_BYTES", 1 << 20)
    monkeypatch.setattr(archives, "BOMB_RATIO", 10)
    make(tmp_path / f"bomb.{ending}")
    with pytest.raises(DataError, match=r"bomb.* inflates to more than 10 times the packed size"):
        scan(str(tmp_path / f"bomb.{ending}"))


def test_a_zip_that_lies_about_a_member_s_size_is_refused(tmp_path: Path, own_cache: Path) -> None:
    zip_bomb(tmp_path / "liar.zip")
    content = (tmp_path / "liar.zip").read_bytes()
    (tmp_path / "liar.zip").write_bytes(content.replace((1 << 20).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    with pytest.raises(DataError, match=r"liar.zip is not a complete archive"):
        scan(str(tmp_path / "liar.zip"))
    assert all(path.stat().st_size < 4096 for path in own_cache.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_tar_whose_headers_swell_is_refused_before_they_are_read(kind: bytes, tmp_path: Path) -> None:
    note = _sized(tarfile.TarInfo("note"), 1 << 40)
    note.type = kind
    with gzip.open(tmp_path / "bomb.tgz", "wb") as out:
        out.write(note.tobuf(tarfile.GNU_FORMAT))
        out.write(bytes(1 << 16))
    with pytest.raises(
        DataError, match=r"(?s)bomb.tgz is not a complete archive .*a header of 1,099,511,627,776 bytes"
    ):
        scan(str(tmp_path / "bomb.tgz"))


def test_a_picture_that_swells_is_refused_by_its_header(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 200_000
    with pytest.raises(BadImage, match=r"20000 x 20000 pixels, more than data.max_pixels 1000000"):
        decode(tmp_path / "bomb.png", 1_000_000)


@pytest.mark.parametrize("name", ["pipe.jpg", "null.jpg"])
def test_a_pipe_or_a_device_in_the_place_of_a_photo_is_not_waited_for(name: str, tmp_path: Path) -> None:
    if name == "pipe.jpg":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(BadImage, match="not a regular file"):
        decode(tmp_path / name, 1000)


@pytest.mark.s3
@pytest.mark.parametrize("key", ["a/../../evil.jpg", "../evil.jpg", "/evil.jpg", "a//evil.jpg", "a/./evil.jpg"])
def test_a_key_that_would_lie_outside_is_not_pulled(key: str, bucket: str, s3_client: Any, own_cache: Path) -> None:
    s3_client.put_object(Bucket=bucket, Key="photos/red/0.jpg", Body=b"x")
    s3_client.put_object(Bucket=bucket, Key=f"photos/{key}", Body=b"x")
    with pytest.raises(DataError, match=rf"(?s)s3://{bucket}/photos: 1 of 2 keys cannot be files; .*evil"):
        pull(f"s3://{bucket}/photos")
    assert not any("evil" in path for path in everything_below(own_cache))


HOSTILE_KEYS = [
    "../evil/experiment.yaml",
    "../evil/checkpoints/best/WHOLE.json",
    "a/../../evil/checkpoints/last/WHOLE.json",
    "/evil/checkpoints/best/WHOLE.json",
]


def bucket_with(entries: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore(f"hostile-{os.urandom(4).hex()}")
    for key, content in entries.items():
        store.put_bytes(key, content)
    return store


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_a_run_s_key_that_would_lie_outside_is_refused_before_anything_is_written(key: str, tmp_path: Path) -> None:
    whole = json.dumps({"token": "t", "files": {}}).encode()
    root = tmp_path / "deep" / "run"
    (tmp_path / "evil" / "checkpoints" / "best").mkdir(parents=True)
    (tmp_path / "evil" / "checkpoints" / "best" / "mine").write_text("keep me")
    before = everything_below(tmp_path)
    with pytest.raises(RunError, match=r"found the key .*evil.*, which would be outside the run"):
        Mirror(bucket_with({"experiment.yaml": b"name: x", key: whole}), root).fetch()
    assert everything_below(tmp_path) - before <= {"deep", "deep/run", "deep/run/.mirror.json", "deep/run/.mirror.lock"}


@pytest.mark.parametrize("name", ["../../../evil", "/tmp/raytl-evil", "a/../../evil"])
def test_a_checkpoint_s_list_that_names_files_outside_is_refused(name: str, tmp_path: Path) -> None:
    listed = {"token": "t", "files": {name: {"bytes": 1, "sha256": "0"}}}
    store = bucket_with({"checkpoints/best/WHOLE.json": json.dumps(listed).encode()})
    with pytest.raises(
        RunError, match=r"checkpoints/best/WHOLE\.json: files\..*expected a relative path inside the folder"
    ):
        Mirror(store, tmp_path / "run").fetch()
    assert not any("evil" in path for path in everything_below(tmp_path))


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[]", b"{}", b'{"token": "t", "files": 3}', b"\x80\x04."])
def test_a_checkpoint_s_list_that_makes_no_sense_is_refused(content: bytes, tmp_path: Path) -> None:
    store = bucket_with({"checkpoints/best/WHOLE.json": content})
    with pytest.raises(
        RunError, match=r"checkpoints/best/WHOLE\.json: .*expected .*Restore it in the store, or start over with --new"
    ):
        Mirror(store, tmp_path / "run").fetch()


def test_a_run_brings_no_notes_of_this_node_s_own(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep me")
    notes = {"files": {"../mine": {"etag": "x", "local": [0, 0]}}, "folders": {}}
    store = bucket_with({"experiment.yaml": b"name: x", ".mirror.json": json.dumps(notes).encode()})
    for _ in range(2):
        Mirror(store, tmp_path / "run").fetch()
    assert (tmp_path / "mine").exists()
    remembered = json.loads((tmp_path / "run" / ".mirror.json").read_text())["files"]
    assert list(remembered) == ["experiment.yaml"]


LEADING_OUT = ["{secret}", "../secret.jpg", "red/../../secret.jpg", "..\\secret.jpg", " /etc/passwd", "\\etc\\passwd"]


@pytest.mark.s3
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("path", LEADING_OUT)
def test_a_manifest_from_a_bucket_names_no_file_of_this_machine(
    path: str, suffix: str, bucket: str, s3_client: Any, tmp_path: Path, make_photos: MakePhotos
) -> None:
    photo = make_photos(1) / "red" / "000.jpg"
    path = path.format(secret=photo)
    rows = [("red/0.jpg", "red"), (path, "blue")]
    text = (
        "path,label\n" + "".join(f"{row[0]},{row[1]}\n" for row in rows)
        if suffix == ".csv"
        else "".join(json.dumps({"path": row[0], "label": row[1]}) + "\n" for row in rows)
    )
    s3_client.put_object(Bucket=bucket, Key="red/0.jpg", Body=photo.read_bytes())
    s3_client.put_object(Bucket=bucket, Key=f"table{suffix}", Body=text.encode())
    with pytest.raises(
        DataError, match=r"1 paths outside the folder of the manifest in the bucket:\n.*(line 3|line 2)"
    ):
        scan(f"s3://{bucket}/table{suffix}")


@pytest.mark.parametrize("path", ["file:///etc/passwd", "https://example.org/x.jpg", "s3:/x"])
def test_a_manifest_names_no_other_schemes(path: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"path,label\n{path},a\n")
    with pytest.raises(DataError, match="without a file|an unsupported scheme"):
        scan(str(tmp_path / "t.csv"))


def test_a_manifest_of_one_s_own_may_name_any_file(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos(1)
    (tmp_path / "tables").mkdir()
    rows = f"{photos}/red/000.jpg,red\n../photos/blue/000.jpg,blue\n"
    (tmp_path / "tables" / "t.csv").write_text(f"path,label\n{rows}")
    assert len(scan(str(tmp_path / "tables" / "t.csv")).samples) == 2


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", ".hidden", "x\n", "-rf", ""])
def test_an_experiment_s_name_is_no_path(name: str, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(f"name: {json.dumps(name)}\ndata: {{uri: x}}\nmodel: {{name: resnet18}}\n")
    with pytest.raises(ConfigError, match="name"):
        load_experiment(tmp_path / "e.yaml")


def test_the_experiment_of_a_run_does_not_read_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKED", "s3cr3t")
    text = "name: x\ndata: {uri: 's3://somebody/${MARKED}'}\nmodel: {name: resnet18}\n"
    (tmp_path / "experiment.yaml").write_text(text)
    assert load_experiment(tmp_path / "experiment.yaml").data.uri.endswith("s3cr3t")
    with pytest.raises(
        ConfigError, match=r"experiment.yaml:2: data.uri: found '\$\{MARKED\}', and a stored experiment"
    ):
        stored_experiment(tmp_path / "experiment.yaml")


def test_a_store_of_files_keeps_to_its_folder(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    for key in ("../x", "/x", "a/../../x"):
        with pytest.raises(StoreError, match="would lie outside the store"):
            store.put_bytes(key, b"x")


def _sized(info: tarfile.TarInfo, size: int) -> tarfile.TarInfo:
    info.size = size
    return info
