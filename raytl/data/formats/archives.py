"""Archives: a zip or tar of class folders, and WebDataset's tar shards, unpacked once into the node's cache, safely."""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.formats import folders
from raytl.data.formats import shards as shards_
from raytl.data.formats.keys import files_below
from raytl.data.manifest import Manifest, Sample, manifest_of
from raytl.errors import DataError
from raytl.events import OnEvent, Work
from raytl.store.cache import cache_root
from raytl.store.claims import claim

SUFFIXES = shards_.ARCHIVES
_BOMB_RATIO, _BOMB_BYTES = 100, 1 << 30
_CHUNK_BYTES = 1 << 20
_WHOLE, _FILES = ".unpacked", "files"  # beside each other, so that the mark is none of the archive's files


def is_archive(name: str) -> bool:
    """True for names that end like archives'."""
    return name.lower().endswith(SUFFIXES)


def shards_in(folder: Path, uri: str) -> list[Path]:
    """The tar shards in a folder, to any depth; none where it holds class folders of images."""
    if not any(path.name.lower().endswith(SUFFIXES) for pattern in ("*", "*/*") for path in folder.glob(pattern)):
        return []
    keys = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [folder / key for key in shards_.shards_among(keys, uri)]


def scan(file: Path, uri: str, on_event: OnEvent) -> Manifest:
    """The manifest of an archive of class folders, or of one shard.

    Raises:
        DataError: not an archive, or one that is not safe to unpack; or its layout is wrong.
    """
    if _is_shard(file):
        return scan_shards([file], file.parent, uri, on_event)
    root = unpacked(file, uri, on_event)
    return folders.scan(files_below(root), str(root), uri)


def scan_shards(shards: list[Path], root: Path, uri: str, on_event: OnEvent) -> Manifest:
    """The manifest of WebDataset shards; keys are `<shard>/<sample>.<extension>`.

    Raises:
        DataError: a shard cannot be read, or samples lack a label or an image; all of them counted, ten named.
    """
    samples: list[Sample] = []
    problems: list[str] = []
    for shard in shards:
        folder = unpacked(shard, uri, on_event)
        name = shard.relative_to(root).as_posix().removesuffix(".tar")
        split = shards_.split_of(name)
        for image in sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES):
            label = shards_.label(partial(_content, folder), shards_.stem(image.relative_to(folder).as_posix()))
            if label:
                samples.append(Sample(f"{name}/{image.relative_to(folder).as_posix()}", str(image), label, split))
            else:
                problems.append(f"{name}: {image.relative_to(folder).as_posix()!r}")
    shards_.refuse_unlabelled(uri, problems)
    return manifest_of(uri, samples)


def _content(folder: Path, name: str) -> bytes | None:
    return (folder / name).read_bytes() if (folder / name).is_file() else None


def unpacked(file: Path, uri: str, on_event: OnEvent) -> Path:
    """The folder in the node's cache that holds what is in `file`; unpacked once, whatever number of processes want it.

    Raises:
        DataError: it cannot be read, or members would lie outside, are links, or swell beyond all measure.
    """
    status = file.stat()
    named = f"{file.resolve()}/{status.st_size}/{status.st_mtime_ns}/{status.st_ino}"
    place = cache_root() / "unpacked" / hashlib.sha256(named.encode()).hexdigest()[:24]
    claim(place)
    with (place.with_name(f"{place.name}.lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / _WHOLE).exists():
            temporary = place.with_name(f".{place.name}")
            shutil.rmtree(temporary, ignore_errors=True)  # what one that was killed left
            try:
                _unpack(file, temporary / _FILES, uri, on_event)
                (temporary / _WHOLE).touch()
                shutil.rmtree(place, ignore_errors=True)
                temporary.rename(place)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
    return place / _FILES


@dataclass(frozen=True)
class _Member:
    """A file in an archive: its name as it is there, its size unpacked, why it cannot be taken, and its bytes."""

    name: str
    size: int
    fault: str
    open: Callable[[], IO[bytes]]


def _unpack(file: Path, target: Path, uri: str, on_event: OnEvent) -> None:
    packed, total, done = file.stat().st_size, 0, 0
    target.mkdir(parents=True)
    try:
        with _members(file) as members:
            for member in members:
                total += member.size + tarfile.BLOCKSIZE  # a million empty files are a bomb too
                _refuse(member, total, packed, target, uri)
                path = target / member.name.replace("\\", "/")
                path.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, path.open("wb") as out:
                    shutil.copyfileobj(source, out, _CHUNK_BYTES)
                done += 1
                if done % 200 == 0:
                    on_event(Work(f"unpack {file.name}", done, done, "files"))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, lzma.LZMAError, zlib.error) as exc:
        raise DataError(f"{uri}: {file.name} is no whole archive ({exc}); fetch or make it again") from exc
    except OSError as exc:
        raise DataError(f"{uri}: {file.name} cannot be unpacked into {target.parent} ({exc.strerror or exc})") from exc
    on_event(Work(f"unpack {file.name}", done, done, "files"))


def _refuse(member: _Member, total: int, packed: int, target: Path, uri: str) -> None:
    fault = shards_.odd(member.name, member.fault)
    if not fault and total > max(_BOMB_BYTES, _BOMB_RATIO * packed):
        fault = f"makes it more than {_BOMB_RATIO} times its packed size"
    if not fault and member.size > (free := shutil.disk_usage(target).free):
        fault = f"wants {member.size:,} bytes, and {free:,} are free on the cache's disk"
    if fault:
        raise DataError(
            f"{uri}: the member {member.name!r} {fault}; nothing was unpacked.\n"
            "  Expected plain files with relative names: make the archive again from the images' folder."
        )


@contextmanager
def _members(file: Path) -> Iterator[Iterator[_Member]]:
    """The files in the archive, in its order."""
    if file.name.lower().endswith(".zip"):
        with zipfile.ZipFile(file) as opened:
            yield (_of_zip(opened, info) for info in opened.infolist() if not info.is_dir())
    else:
        with tarfile.open(file, tarinfo=shards_.Header) as tar:
            yield _whole(tar)


def _whole(tar: tarfile.TarFile) -> Iterator[_Member]:
    yield from (_of_tar(tar, info) for info in tar if not info.isdir())
    shards_.refuse_torn(tar)


def _of_zip(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    is_link = stat.S_ISLNK(info.external_attr >> 16)
    fault = "is a link" if is_link else "is encrypted" if info.flag_bits & 1 else ""
    return _Member(info.filename, info.file_size, fault, lambda: opened.open(info))


def _of_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    def opened() -> IO[bytes]:
        found = tar.extractfile(info)
        assert found is not None, "links and devices were refused"
        return found

    return _Member(info.name, info.size, shards_.fault_of(info), opened)


def _is_shard(file: Path) -> bool:
    """True for a tar in which labels lie beside images of the same name, by its first members."""
    if not file.name.lower().endswith(".tar"):
        return False
    try:
        with tarfile.open(file, tarinfo=shards_.Header) as tar:
            names = [info.name for _, info in zip(range(64), tar, strict=False) if info.isreg()]
    except tarfile.TarError:
        return False
    return shards_.is_shard(names)
