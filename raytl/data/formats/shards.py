"""Index tar shards that stay in their bucket, so that each image is a byte range of an object; check member names."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import cast

from raytl.data.formats.safe_tar import fault_of, opened
from raytl.data.formats.shard_labels import read
from raytl.data.formats.webdataset import Members, holds_label, is_image, is_skipped, label_text
from raytl.data.manifest import Manifest, Sample, build_manifest, listed
from raytl.data.unicode_names import Spellings, member_path
from raytl.errors import DataError
from raytl.events import OnEvent, Work
from raytl.store.cache import cache_root
from raytl.store.contract import ObjectInfo, ObjectStore
from raytl.store.counted import ByteCount, TooManyBytes
from raytl.store.drafts import drafted, sweep
from raytl.store.files import atomic_write
from raytl.store.open import part_of
from raytl.store.retry import retried
from raytl.stored import Format
from raytl.stored.bounds import Count, Digest
from raytl.uris import is_archive_name

_FORMAT = 3
_MAX_PARTS = 64
"""Maximum parts of a member path: folders and name."""
_SHOWN_CHARS = 120
_CONCURRENT = 2  # shards on the disk at the same time


@dataclass(frozen=True)
class _Index:
    """The files of a shard by name: images as (first byte, size, SHA-256), texts that may be labels, and all others."""

    images: dict[str, tuple[Count, Count, Digest]]
    texts: dict[str, str]
    others: list[str]


INDEX_FORMAT = Format[_Index](
    _Index, "the index of a shard", "Delete the file; the shard is read again.", DataError, max_bytes=1 << 30
)


def scan(
    store: ObjectStore, shards: Sequence[ObjectInfo], beside: Sequence[str], uri: str, on_event: OnEvent
) -> Manifest:
    """Return the manifest of shards in a bucket, with the keys `beside` them; each sample path is a byte range of its shard.

    Each shard is downloaded once to build its index, which is cached; the shard itself is not kept.

    Raises:
        DataError: a shard cannot be read, or has links or names that lead out of it; see also `shard_labels.read`.
        StoreError: a shard cannot be fetched.
    """
    sweep(cache_root() / "shards", deep=False)  # shards of killed processes
    indexed: dict[str, tuple[ObjectInfo, _Index]] = {}
    with ThreadPoolExecutor(_CONCURRENT) as pool:
        for done, (info, index) in enumerate(pool.map(lambda info: (info, _index(store, info, uri)), shards), start=1):
            on_event(Work("reading shards", done, len(shards), "shards"))
            indexed[info.key.removesuffix(".tar")] = info, index
    reading = read(uri, [_members(name, index) for name, (_, index) in indexed.items()])
    samples: list[Sample] = []
    objects: dict[str, ObjectInfo] = {}
    for sample in reading.samples:
        info, index = indexed[sample.shard]
        start, size, digest = index.images[sample.image]
        path = part_of(f"{store.uri}/{info.key}", start, size)
        samples.append(Sample(f"{sample.shard}/{sample.image}", path, sample.label, sample.split, digest))
        objects[path] = replace(info, size=size)
    return replace(build_manifest(uri, samples, [*reading.ignored, *beside], reading.warnings), objects=objects)


def _members(shard: str, index: _Index) -> Members:
    return Members(shard, sorted([*index.images, *index.texts, *index.others]), index.texts)


def _index(store: ObjectStore, info: ObjectInfo, uri: str) -> _Index:
    identity = hashlib.sha256(f"{_FORMAT} {store.uri}/{info.key} {info.size} {info.etag}".encode()).hexdigest()[:24]
    cached = cache_root() / "shards" / f"{identity}.json"
    try:
        return INDEX_FORMAT.load(cached)
    except DataError:
        cached.parent.mkdir(parents=True, exist_ok=True)
    with drafted(cached.with_suffix(".tar"), folder=True) as folder:
        shard = folder / "shard.tar"
        retried(lambda: store.get_to_file(info.key, shard, info.size, info.etag))
        index = _read_index(shard, f"{uri}: {info.key}")
    with atomic_write(cached) as part:
        part.write_text(json.dumps(asdict(index)), encoding="utf-8")
    return index


def _read_index(shard: Path, where: str) -> _Index:
    index, spellings = _Index({}, {}, []), Spellings()
    try:
        with opened(shard, ByteCount(shard.stat().st_size), plain=True) as tar:
            for member in tar.walk():
                if member.isdir():
                    continue
                if fault := member_fault(member.name, fault_of(member)) or spellings.clash(member.name):
                    raise DataError(
                        f"{where}: the member {quoted(member.name)} {fault}; recreate the shard from plain files"
                    )
                _add(index, tar, member)
    except (tarfile.TarError, EOFError, TooManyBytes) as exc:
        raise DataError(
            f"{where} is not a complete tar ({exc}); create it again (compressed tars cannot be streamed)"
        ) from exc
    return replace(index, others=sorted(set(index.others)))


def _add(index: _Index, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    """Add a member to the index; the last of several with the same name counts."""
    name, content = member_path(member.name), tar.extractfile(member)
    assert content is not None, "links and devices were rejected"
    if is_image(name):
        index.images[name] = (
            member.offset_data,
            member.size,
            hashlib.file_digest(cast(BufferedReader, content), "sha256").hexdigest(),
        )
    elif holds_label(name):
        index.texts[name] = label_text(name, content)
    else:
        index.others.append(name)


def quoted(name: str) -> str:
    """Return a member name for errors, quoted and truncated."""
    return repr(name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}...")


def member_fault(name: str, fault: str = "") -> str:
    """Return `fault`, or the reason to reject a member by its name; empty if it is safe."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if fault:
        return fault
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or not parts:
        return "would be written outside the archive folder"
    if len(parts) > _MAX_PARTS:
        return f"has a path of {len(parts)} parts; expected at most {_MAX_PARTS}"
    return "has a drive letter" if re.match(r"[a-zA-Z]:", name) else ""


def shards_among(keys: Iterable[str], uri: str) -> tuple[list[str], list[str]]:
    """Return the tar shards among the keys of a folder, sorted, and all other keys; nothing if there are also class folders.

    System files (`._a.tar`) are neither shards nor images.

    Raises:
        DataError: there are archives other than plain tars, and nothing else to train on.
    """
    keys = list(keys)
    if any("/" in key and is_image(key) for key in keys):
        return [], []
    packed = [key for key in keys if is_archive_name(key) and not is_skipped(key)]
    unsupported = [key for key in packed if not key.lower().endswith(".tar")]
    if unsupported:
        raise DataError(
            f"{uri}: {len(unsupported)} archives are not plain .tar files:\n{listed(unsupported, 5)}\n"
            "  Expected WebDataset shards (.tar): unpack these, or set data.uri to one archive of class folders."
        )
    return sorted(packed), sorted(set(keys) - set(packed)) if packed else []
