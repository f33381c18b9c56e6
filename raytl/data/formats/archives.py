"""Archives: a zip or tar of class folders, and WebDataset's tar shards, unpacked once into the node's cache, safely."""

from __future__ import annotations

import fcntl
import hashlib
import json
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from raytl.data.formats import folders
from raytl.data.formats import shards as shards_
from raytl.data.formats.keys import files_below
from raytl.data.formats.shard_labels import are_class_folders, read
from raytl.data.formats.webdataset import Members, holds_label, label_text
from raytl.data.formats.zip_names import encoding_note, zip_names
from raytl.data.manifest import Manifest, Sample, manifest_of
from raytl.data.names import Spellings, member_path
from raytl.disk import writing
from raytl.errors import DataError, DiskError
from raytl.events import OnEvent, Work
from raytl.store.cache import cache_root
from raytl.store.claims import claim

SUFFIXES = shards_.ARCHIVES
_BOMB_RATIO, _BOMB_BYTES = 100, 1 << 30
_CHUNK_BYTES = 1 << 20
_FORMAT = 2  # of an unpacked archive: its files, and beside them the notes, which are written last
_FILES, _NOTES = "files", "notes.json"


def is_archive(name: str) -> bool:
    """True for names that end like archives'."""
    return name.lower().endswith(SUFFIXES)


def shards_in(folder: Path, uri: str) -> tuple[list[Path], list[str]]:
    """The tar shards in a folder, to any depth, and the keys of all other files; nothing where it holds class folders."""
    if not any(path.name.lower().endswith(SUFFIXES) for pattern in ("*", "*/*") for path in folder.glob(pattern)):
        return [], []
    found, beside = shards_.shards_among(_files(folder), uri)
    return [folder / key for key in found], beside


def scan(file: Path, uri: str, on_event: OnEvent, zip_encoding: str | None = None) -> Manifest:
    """The manifest of an archive of class folders, or of one shard.

    Raises:
        DataError: not an archive, or one that is not safe to unpack; or its layout is wrong.
    """
    root, notes = unpacked(file, uri, on_event, zip_encoding)
    try:
        manifest = _read(root, _without_suffix(file.name), uri)
    except DataError as exc:
        raise DataError("\n".join([str(exc), *notes])) from exc  # wrong names may be the cause
    return replace(manifest, warnings=(*notes, *manifest.warnings))


def _read(root: Path, name: str, uri: str) -> Manifest:
    members = _members_in(root, name)
    if are_class_folders(uri, members):
        return folders.scan(files_below(root), str(root), uri)
    return _labelled(uri, {name: root}, [members], [])


def scan_shards(shards: list[Path], beside: Sequence[str], root: Path, uri: str, on_event: OnEvent) -> Manifest:
    """The manifest of WebDataset shards, with the keys `beside` them; samples' keys are `<shard>/<sample>.<extension>`.

    Raises:
        DataError: a shard cannot be read, or see `shard_labels.read`.
    """
    places = {
        _without_suffix(shard.relative_to(root).as_posix()): unpacked(shard, uri, on_event)[0] for shard in shards
    }
    return _labelled(uri, places, [_members_in(folder, name) for name, folder in places.items()], beside)


def _labelled(uri: str, places: Mapping[str, Path], shards: Sequence[Members], beside: Sequence[str]) -> Manifest:
    """The manifest of the shards that are unpacked at `places`."""
    reading = read(uri, shards)
    samples = [
        Sample(f"{one.shard}/{one.image}", str(places[one.shard] / one.image), one.label, one.split)
        for one in reading.samples
    ]
    return manifest_of(uri, samples, [*reading.ignored, *beside], reading.warnings)


def _members_in(folder: Path, shard: str) -> Members:
    """The files of an unpacked archive, and what they offer as labels."""
    names = sorted(_files(folder))
    texts = {}
    for name in filter(holds_label, names):
        with (folder / name).open("rb") as file:
            texts[name] = label_text(name, file)
    return Members(shard, names, texts)


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _without_suffix(name: str) -> str:
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def unpacked(file: Path, uri: str, on_event: OnEvent, zip_encoding: str | None = None) -> tuple[Path, tuple[str, ...]]:
    """The folder in the node's cache that holds what is in `file`, and what people should know of its names; unpacked once,
    whatever number of processes want it. Names are in NFC there.

    Raises:
        DataError: it cannot be read, or members would lie outside, are links, or swell beyond all measure.
    """
    status = file.stat()
    named = f"{_FORMAT}/{file.resolve()}/{status.st_size}/{status.st_mtime_ns}/{status.st_ino}/{zip_encoding or ''}"
    place = cache_root() / "unpacked" / hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    claim(place)
    with (place.with_name(f"{place.name}.lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / _NOTES).exists():
            temporary = place.with_name(f".{place.name}")
            shutil.rmtree(temporary, ignore_errors=True)  # what one that was killed left
            try:
                notes = _unpack(file, temporary / _FILES, uri, on_event, zip_encoding)
                (temporary / _NOTES).write_text(json.dumps(notes))
                shutil.rmtree(place, ignore_errors=True)
                temporary.rename(place)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
    return place / _FILES, tuple(json.loads((place / _NOTES).read_text()))


@dataclass(frozen=True)
class _Member:
    """A file in an archive: its name as it is there, its size unpacked, why it cannot be taken, and its bytes."""

    name: str
    size: int
    fault: str
    open: Callable[[], IO[bytes]]


def _unpack(file: Path, target: Path, uri: str, on_event: OnEvent, zip_encoding: str | None) -> list[str]:
    """Unpack into `target`; returns what people should know of the members' names."""
    packed, total, done = file.stat().st_size, 0, 0
    target.mkdir(parents=True)
    spellings = Spellings()
    try:
        with _members(file, zip_encoding) as (members, guessed):
            for member in members:
                total += member.size + tarfile.BLOCKSIZE  # a million empty files are a bomb too
                _refuse(member, spellings.clash(member.name), total, packed, target, uri)
                path = target / member_path(member.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, writing(path, member.size), path.open("wb") as out:
                    shutil.copyfileobj(source, out, _CHUNK_BYTES)
                done += 1
                if done % 200 == 0:
                    on_event(Work(f"unpack {file.name}", done, done, "files"))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, lzma.LZMAError, zlib.error) as exc:
        raise DataError(f"{uri}: {file.name} is no whole archive ({exc}); fetch or make it again") from exc
    except DiskError:
        raise
    except OSError as exc:
        raise DataError(f"{uri}: {file.name} cannot be unpacked into {target.parent} ({exc.strerror or exc})") from exc
    on_event(Work(f"unpack {file.name}", done, done, "files"))
    return [encoding_note(uri, guessed)] if guessed else []


def _refuse(member: _Member, clash: str, total: int, packed: int, target: Path, uri: str) -> None:
    fault = shards_.odd(member.name, member.fault) or clash
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
def _members(file: Path, zip_encoding: str | None) -> Iterator[tuple[Iterator[_Member], list[str]]]:
    """The files in the archive, in its order, and those names whose encoding was guessed."""
    if file.name.lower().endswith(".zip"):
        with zipfile.ZipFile(file) as opened:
            infos = opened.infolist()
            names, guessed = zip_names(infos, zip_encoding)
            pairs = zip(infos, names, strict=True)
            yield (_of_zip(opened, info, name) for info, name in pairs if not info.is_dir()), guessed
    else:
        with tarfile.open(file, tarinfo=shards_.Header) as tar:
            yield _whole(tar), []


def _whole(tar: tarfile.TarFile) -> Iterator[_Member]:
    yield from (_of_tar(tar, info) for info in tar if not info.isdir())
    shards_.refuse_torn(tar)


def _of_zip(opened: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> _Member:
    is_link = stat.S_ISLNK(info.external_attr >> 16)
    fault = "is a link" if is_link else "is encrypted" if info.flag_bits & 1 else ""
    return _Member(name, info.file_size, fault, lambda: opened.open(info))


def _of_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    def opened() -> IO[bytes]:
        found = tar.extractfile(info)
        assert found is not None, "links and devices were refused"
        return found

    return _Member(info.name, info.size, shards_.fault_of(info), opened)
