"""Unpack archives once and safely into the node's cache: a zip or tar of class folders, or WebDataset tar shards."""

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

from raytl.data.formats import folders
from raytl.data.formats import shards as shards_
from raytl.data.formats.key_tree import files_below
from raytl.data.formats.safe_tar import Tar, fault_of, opened
from raytl.data.formats.shard_labels import are_class_folders, read
from raytl.data.formats.webdataset import Members, holds_label, label_text
from raytl.data.formats.zip_names import encoding_note, zip_names
from raytl.data.manifest import Manifest, Sample, build_manifest
from raytl.data.unicode_names import Spellings, member_path
from raytl.disk import writing
from raytl.errors import DataError, DiskError
from raytl.events import OnEvent, Work
from raytl.store.cache import cache_root
from raytl.store.counted import BOMB_BYTES, BOMB_RATIO, ByteCount, Counted, TooManyBytes
from raytl.store.drafts import drafted
from raytl.store.pins import pin
from raytl.stored import Format
from raytl.uris import ARCHIVE_SUFFIXES, is_archive_name

_CHUNK_BYTES = 1 << 20
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ADVICE = (
    "nothing was unpacked.\n  Expected plain files with relative names: recreate the archive from the image folder."
)
_FORMAT = 2  # version of the layout: files, and the notes beside them, which are written last
_FILES, _NOTES = "files", "notes.json"


def shards_in(folder: Path, uri: str) -> tuple[list[Path], list[str]]:
    """Return the tar shards in a folder, to any depth, and the keys of all other files; nothing if it holds class folders."""
    if not any(is_archive_name(path.name) for pattern in ("*", "*/*") for path in folder.glob(pattern)):
        return [], []
    shards, beside = shards_.shards_among(_files(folder), uri)
    return [folder / key for key in shards], beside


def scan(file: Path, uri: str, on_event: OnEvent, zip_encoding: str | None = None) -> Manifest:
    """Return the manifest of an archive of class folders, or of one shard.

    Raises:
        DataError: it is not an archive, is not safe to unpack, or has a wrong layout.
    """
    root, notes = unpacked(file, uri, on_event, zip_encoding)
    try:
        manifest = _read(root, _without_suffix(file.name), uri)
    except DataError as exc:
        raise DataError("\n".join([str(exc), *notes])) from exc  # wrongly decoded names may be the cause
    return replace(manifest, warnings=(*notes, *manifest.warnings))


def _read(root: Path, name: str, uri: str) -> Manifest:
    members = _members_in(root, name)
    if are_class_folders(uri, members):
        return folders.scan(files_below(root), str(root), uri)
    return _labeled(uri, {name: root}, [members], [])


def scan_shards(shards: list[Path], beside: Sequence[str], root: Path, uri: str, on_event: OnEvent) -> Manifest:
    """Return the manifest of WebDataset shards, with the keys `beside` them; sample keys are `<shard>/<sample>.<extension>`.

    Raises:
        DataError: a shard cannot be read; see also `shard_labels.read`.
    """
    places = {
        _without_suffix(shard.relative_to(root).as_posix()): unpacked(shard, uri, on_event)[0] for shard in shards
    }
    return _labeled(uri, places, [_members_in(folder, name) for name, folder in places.items()], beside)


def _labeled(uri: str, places: Mapping[str, Path], shards: Sequence[Members], beside: Sequence[str]) -> Manifest:
    """Return the manifest of the shards unpacked at `places`."""
    reading = read(uri, shards)
    samples = [
        Sample(f"{one.shard}/{one.image}", str(places[one.shard] / one.image), one.label, one.split)
        for one in reading.samples
    ]
    return build_manifest(uri, samples, [*reading.ignored, *beside], reading.warnings)


def _members_in(folder: Path, shard: str) -> Members:
    """Return the files of an unpacked archive and the texts of its label files."""
    names = sorted(_files(folder))
    texts = {}
    for name in filter(holds_label, names):
        with (folder / name).open("rb") as file:
            texts[name] = label_text(name, file)
    return Members(shard, names, texts)


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _without_suffix(name: str) -> str:
    suffix = next((suffix for suffix in ARCHIVE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


NOTES_FORMAT = Format[tuple[str, ...]](
    tuple[str, ...],
    "the notes on an archive",
    "Delete its folder; it is unpacked again.",
    DataError,
    max_bytes=64 << 20,
)


def unpacked(file: Path, uri: str, on_event: OnEvent, zip_encoding: str | None = None) -> tuple[Path, tuple[str, ...]]:
    """Return the cache folder with the content of `file`, and warnings about its names; unpacked once, however many processes
    need it. Names are normalized to NFC.

    Raises:
        DataError: it cannot be read, or members would lie outside the folder, are links, or inflate too far.
    """
    status = file.stat()
    identity = f"{_FORMAT}/{file.resolve()}/{status.st_size}/{status.st_mtime_ns}/{status.st_ino}/{zip_encoding or ''}"
    place = cache_root() / "unpacked" / hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    pin(place)
    with (place.with_name(f"{place.name}.lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / _NOTES).exists():
            with drafted(place, folder=True) as draft:
                notes = _unpack(file, draft / _FILES, uri, on_event, zip_encoding)
                (draft / _NOTES).write_text(json.dumps(notes))
                shutil.rmtree(place, ignore_errors=True)
                draft.rename(place)
    return place / _FILES, NOTES_FORMAT.load(place / _NOTES)


@dataclass(frozen=True)
class _Member:
    """A file in an archive: its stored name and unpacked size, the reason to reject it, and a reader that counts bytes."""

    name: str
    size: int
    fault: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def _unpack(file: Path, target: Path, uri: str, on_event: OnEvent, zip_encoding: str | None) -> list[str]:
    """Unpack into `target`; return warnings about member names."""
    packed, done = file.stat().st_size, 0
    count = ByteCount(max(BOMB_BYTES, BOMB_RATIO * packed))
    target.mkdir(parents=True)
    spellings = Spellings()
    try:
        with _members(file, zip_encoding, count) as (members, guessed):
            for member in members:
                _check(member, spellings.clash(member.name), count, target, uri)
                path = target / member_path(member.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, writing(path, member.size), path.open("wb") as out:
                    shutil.copyfileobj(source, out, _CHUNK_BYTES)
                done += 1
                if done % 200 == 0:
                    on_event(Work(f"unpack {file.name}", done, done, "files"))
    except TooManyBytes as exc:
        raise DataError(f"{uri}: the content of {file.name} {_inflated()}; {_ADVICE}") from exc
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, lzma.LZMAError, zlib.error) as exc:
        raise DataError(f"{uri}: {file.name} is not a complete archive ({exc}); download or create it again") from exc
    except DiskError:
        raise
    except OSError as exc:
        raise DataError(f"{uri}: {file.name} cannot be unpacked into {target.parent} ({exc.strerror or exc})") from exc
    on_event(Work(f"unpack {file.name}", done, done, "files"))
    return [encoding_note(uri, guessed)] if guessed else []


def _check(member: _Member, clash: str, count: ByteCount, target: Path, uri: str) -> None:
    fault = shards_.member_fault(member.name, member.fault) or clash
    if not fault and member.size > count.left:
        fault = _inflated()
    if not fault and member.size > (free := shutil.disk_usage(target).free):
        fault = f"needs {member.size:,} bytes, but {free:,} are free on the disk of the cache"
    if fault:
        raise DataError(f"{uri}: the member {shards_.quoted(member.name)} {fault}; {_ADVICE}")


def _inflated() -> str:
    return f"inflates to more than {BOMB_RATIO} times the packed size"


@contextmanager
def _members(file: Path, zip_encoding: str | None, count: ByteCount) -> Iterator[tuple[Iterator[_Member], list[str]]]:
    """Yield the files in the archive in order, and the names whose encoding was guessed; inflated bytes are counted."""
    if file.name.lower().endswith(".zip"):
        with zipfile.ZipFile(file) as packed:
            infos = packed.infolist()
            names, guessed = zip_names(infos, zip_encoding)
            yield _in_zip(packed, zip(infos, names, strict=True), count), guessed
    else:
        with opened(file, count) as tar:
            yield (_of_tar(tar, info) for info in tar.walk() if not info.isdir()), []


def _in_zip(
    packed: zipfile.ZipFile, infos: Iterable[tuple[zipfile.ZipInfo, str]], count: ByteCount
) -> Iterator[_Member]:
    for info, name in infos:
        count.add(tarfile.BLOCKSIZE)  # as in a tar: a million empty files are also a bomb
        if info.is_dir():
            count.add(info.file_size)
        else:
            yield _of_zip(packed, info, name, count)


def _of_zip(packed: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, count: ByteCount) -> _Member:
    @contextmanager
    def content() -> Iterator[IO[bytes]]:
        with packed.open(info) as source:
            yield cast(IO[bytes], Counted(source, count))

    is_link = stat.S_ISLNK(info.external_attr >> 16)
    fault = "is a link" if is_link else "is encrypted" if info.flag_bits & 1 else ""
    if not fault and info.compress_type not in _COMPRESSIONS:
        fault = f"uses compression method {info.compress_type}, which raytl does not support"
    return _Member(name, info.file_size, fault, content)


def _of_tar(tar: Tar, info: tarfile.TarInfo) -> _Member:
    def content() -> IO[bytes]:
        file = tar.extractfile(info)
        assert file is not None, "links and devices were rejected"
        return file

    return _Member(info.name, info.size, fault_of(info), content)
