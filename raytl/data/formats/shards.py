"""WebDataset's tar shards: what belongs to a sample, and shards that stay in their bucket.

The members of a sample share their name up to its first dot (`0001.jpg`, `0001.cls`); the label is in `.cls` or `.txt`, or in
`.json` under label, class, cls or class_name; the split is in the shard's name (`train-000.tar`).
Source: github.com/webdataset/webdataset, "The WebDataset format".
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.manifest import Manifest, Sample, listed, manifest_of, split_name
from raytl.errors import DataError, StoreError
from raytl.events import OnEvent, Work
from raytl.store.cache import cache_root
from raytl.store.contract import ObjectInfo, ObjectStore
from raytl.store.files import written_whole
from raytl.store.open import part_of
from raytl.store.retry import retried

_LABELS = (".cls", ".txt")
_JSON_KEYS = ("label", "class", "cls", "class_name")
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_FORMAT = 2
_NOTES = (b"x", b"g", b"X", b"L", b"K")  # of pax, of all members of pax, of Solaris, and GNU's long names and links
_MOST_NOTES_BYTES = 1 << 20
_AT_ONCE = 2  # shards that lie on the disk at the same time


def stem(name: str) -> str:
    """What the members of a sample have in common: the name up to the first dot after its folders."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.split('.', 1)[0]}"


def label(content: Callable[[str], bytes | None], of: str) -> str:
    """The label of the sample with that stem, by its members' content; empty where it has none."""
    for suffix in _LABELS:
        if (found := content(f"{of}{suffix}")) is not None:
            return found.decode("utf-8", "replace").strip()
    try:
        values = json.loads(content(f"{of}.json") or b"null")
    except (ValueError, RecursionError):
        return ""
    named = values if not isinstance(values, dict) else next((values[k] for k in _JSON_KEYS if k in values), "")
    return "" if named is None or isinstance(named, dict | list) else str(named).strip()


def split_of(shard: str) -> str | None:
    """The split that a shard's name tells."""
    return next(filter(None, map(split_name, re.split(r"[^a-zA-Z]+", shard))), None)


def is_shard(names: Iterable[str]) -> bool:
    """True where labels lie beside images of the same name."""
    names = list(names)
    labels = {stem(name) for name in names if name.endswith((*_LABELS, ".json"))}
    return bool(labels & {stem(name) for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES})


def refuse_unlabelled(uri: str, images: Sequence[str]) -> None:
    """Raises a DataError that lists images without a label, if there are any."""
    if images:
        raise DataError(
            f"{uri}: {len(images)} samples of the shards have no label (.cls, .txt, or .json with "
            f"{', '.join(_JSON_KEYS)}):\n{listed(list(images))}"
        )


def refuse_torn(tar: tarfile.TarFile) -> None:
    """Raises a ReadError for a tar, read to its end, that does not end as tars do: one that was cut off between two members
    would else pass for a whole one of fewer."""
    assert tar.fileobj is not None, "it is open"
    tar.fileobj.seek(tar.offset)
    rest = tar.fileobj.read(tarfile.BLOCKSIZE)
    if rest != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("unexpected end of data")
    while rest:
        if rest.strip(b"\0"):
            raise tarfile.ReadError("there is more behind its end: two tars in one file?")
        rest = tar.fileobj.read(1 << 20)


@dataclass(frozen=True)
class _Member:
    """An image in a shard: `size` bytes from `start` on, their sha256, and its label, empty where it has none."""

    name: str
    start: int
    size: int
    digest: str
    label: str


def scan(store: ObjectStore, shards: Sequence[ObjectInfo], uri: str, on_event: OnEvent) -> Manifest:
    """The manifest of shards in a bucket; each sample's path is its part of the shard's URI.

    A shard is brought here whole, once, to see what is where in it and what its bytes are; that is remembered, and the shard
    is not kept.

    Raises:
        DataError: a shard cannot be read, has links or names that lead out of it, or samples lack a label.
        StoreError: a shard cannot be fetched.
    """
    samples: list[Sample] = []
    objects: dict[str, ObjectInfo] = {}
    problems: list[str] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done, (info, members) in enumerate(
            pool.map(lambda info: (info, _index(store, info, uri)), shards), start=1
        ):
            on_event(Work("reading shards", done, len(shards), "shards"))
            name = info.key.removesuffix(".tar")
            problems += [f"{name}: {member.name!r}" for member in members if not member.label]
            for member in members:
                path = part_of(f"{store.uri}/{info.key}", member.start, member.size)
                samples.append(Sample(f"{name}/{member.name}", path, member.label, split_of(name), member.digest))
                objects[path] = replace(info, size=member.size)
    refuse_unlabelled(uri, problems)
    return replace(manifest_of(uri, samples), objects=objects)


def _index(store: ObjectStore, info: ObjectInfo, uri: str) -> list[_Member]:
    named = hashlib.sha256(f"{_FORMAT} {store.uri}/{info.key} {info.size} {info.etag}".encode()).hexdigest()[:24]
    place = cache_root() / "shards" / f"{named}.json"
    try:
        return [_Member(**row) for row in json.loads(place.read_bytes())]
    except (OSError, ValueError, TypeError):
        place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        shard = Path(folder, "shard.tar")
        retried(lambda: store.get_to_file(info.key, shard))
        if shard.stat().st_size != info.size:
            raise StoreError(f"{store.uri}/{info.key}: it changed since it was listed; run again")
        members = _read_index(shard, f"{uri}: {info.key}")
    with written_whole(place) as part:
        part.write_text(json.dumps([asdict(member) for member in members]), encoding="utf-8")
    return members


def _read_index(shard: Path, where: str) -> list[_Member]:
    images: dict[str, tuple[int, int, str]] = {}
    texts: dict[str, bytes] = {}
    try:
        with tarfile.open(shard, mode="r:", tarinfo=Header) as tar:
            for found in tar:
                name = PurePosixPath(found.name).as_posix()
                if found.isdir():
                    continue
                if fault := odd(found.name, fault_of(found)):
                    raise DataError(
                        f"{where}: the member {found.name!r} {fault}; make the shard again from plain files"
                    )
                content = tar.extractfile(found)
                assert content is not None, "links and devices were refused"
                if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                    digest = hashlib.sha256(content.read()).hexdigest()
                    images[name] = (found.offset_data, found.size, digest)  # of two of one name the last counts
                elif name.endswith((*_LABELS, ".json")):
                    texts[name] = content.read()
            refuse_torn(tar)
    except (tarfile.TarError, EOFError) as exc:
        raise DataError(f"{where} is no whole tar ({exc}); make it again (compressed ones are not streamed)") from exc
    return [_Member(name, *images[name], label(texts.get, stem(name))) for name in sorted(images)]


class Header(tarfile.TarInfo):
    """A member's header. Names and attributes that do not fit one come before it, as a member that tarfile reads at once:
    in a compressed tar it may swell to any size."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _NOTES and self.size > _MOST_NOTES_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        found: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]  # typeshed leaves it out
        return found


def fault_of(member: tarfile.TarInfo) -> str:
    """Why a member of a tar is no plain file; empty for one."""
    if member.issparse():
        return "is a sparse file"
    return "" if member.isreg() else "is a link" if member.islnk() or member.issym() else "is a device"


def odd(name: str, fault: str = "") -> str:
    """Why a member of an archive cannot be taken, by its name, if there is no other `fault`; empty for good ones."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if fault:
        return fault
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or not parts:
        return "would lie outside the archive's folder"
    return "has a drive's name" if re.match(r"[a-zA-Z]:", name) else ""


def shards_among(keys: Iterable[str], uri: str) -> list[str]:
    """The tar shards among the keys of a folder, sorted; none where images lie in class folders beside them.

    Raises:
        DataError: archives that are no plain tars, and nothing else to train on.
    """
    keys = list(keys)
    if any("/" in key and Path(key).suffix.lower() in IMAGE_SUFFIXES for key in keys):
        return []
    packed = [key for key in keys if key.lower().endswith(ARCHIVES)]
    odd_ones = [key for key in packed if not key.lower().endswith(".tar")]
    if odd_ones:
        raise DataError(
            f"{uri}: {len(odd_ones)} archives that are no plain .tar:\n{listed(odd_ones, 5)}\n"
            "  Expected WebDataset shards, .tar each: unpack these, or name one archive of class folders as data.uri."
        )
    return sorted(packed)
