"""Tar shards that stay in their bucket: indexed once, so that each image is a part of an object; and which tars are safe."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import tempfile
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
from raytl.store.files import written_whole
from raytl.store.open import part_of
from raytl.store.retry import retried
from raytl.stored import Format
from raytl.stored.bounds import Count, Digest
from raytl.uris import is_archive_name

_FORMAT = 3
_MOST_PARTS = 64
"""Of a member's path: its folders and its name."""
_SHOWN_CHARS = 120
_AT_ONCE = 2  # shards that lie on the disk at the same time


@dataclass(frozen=True)
class _Index:
    """The files of a shard by name: where images are (first byte, size, sha256), texts that may be labels, and all others."""

    images: dict[str, tuple[Count, Count, Digest]]
    texts: dict[str, str]
    others: list[str]


INDEX_FORMAT = Format[_Index](
    _Index, "the index of a shard", "Delete the file, and the shard is read again.", DataError, max_bytes=1 << 30
)


def scan(
    store: ObjectStore, shards: Sequence[ObjectInfo], beside: Sequence[str], uri: str, on_event: OnEvent
) -> Manifest:
    """The manifest of shards in a bucket, with the keys `beside` them; each sample's path is its part of the shard's URI.

    A shard is brought here whole, once, to see what is where in it and what its bytes are; that is remembered, and the shard
    is not kept.

    Raises:
        DataError: a shard cannot be read, has links or names that lead out of it, or see `shard_labels.read`.
        StoreError: a shard cannot be fetched.
    """
    found: dict[str, tuple[ObjectInfo, _Index]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done, (info, index) in enumerate(pool.map(lambda info: (info, _index(store, info, uri)), shards), start=1):
            on_event(Work("reading shards", done, len(shards), "shards"))
            found[info.key.removesuffix(".tar")] = info, index
    reading = read(uri, [_members(name, index) for name, (_, index) in found.items()])
    samples: list[Sample] = []
    objects: dict[str, ObjectInfo] = {}
    for sample in reading.samples:
        info, index = found[sample.shard]
        start, size, digest = index.images[sample.image]
        path = part_of(f"{store.uri}/{info.key}", start, size)
        samples.append(Sample(f"{sample.shard}/{sample.image}", path, sample.label, sample.split, digest))
        objects[path] = replace(info, size=size)
    return replace(build_manifest(uri, samples, [*reading.ignored, *beside], reading.warnings), objects=objects)


def _members(shard: str, index: _Index) -> Members:
    return Members(shard, sorted([*index.images, *index.texts, *index.others]), index.texts)


def _index(store: ObjectStore, info: ObjectInfo, uri: str) -> _Index:
    named = hashlib.sha256(f"{_FORMAT} {store.uri}/{info.key} {info.size} {info.etag}".encode()).hexdigest()[:24]
    place = cache_root() / "shards" / f"{named}.json"
    try:
        return INDEX_FORMAT.load(place)
    except DataError:
        place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        shard = Path(folder, "shard.tar")
        retried(lambda: store.get_to_file(info.key, shard, info.size))
        index = _read_index(shard, f"{uri}: {info.key}")
    with written_whole(place) as part:
        part.write_text(json.dumps(asdict(index)), encoding="utf-8")
    return index


def _read_index(shard: Path, where: str) -> _Index:
    index, spellings = _Index({}, {}, []), Spellings()
    try:
        with opened(shard, ByteCount(shard.stat().st_size), plain=True) as tar:
            for found in tar.walk():
                if found.isdir():
                    continue
                if fault := odd(found.name, fault_of(found)) or spellings.clash(found.name):
                    raise DataError(
                        f"{where}: the member {shown(found.name)} {fault}; make the shard again from plain files"
                    )
                _take(index, tar, found)
    except (tarfile.TarError, EOFError, TooManyBytes) as exc:
        raise DataError(f"{where} is no whole tar ({exc}); make it again (compressed ones are not streamed)") from exc
    return replace(index, others=sorted(set(index.others)))


def _take(index: _Index, tar: tarfile.TarFile, found: tarfile.TarInfo) -> None:
    """Note a member; of two of one name the last counts."""
    name, content = member_path(found.name), tar.extractfile(found)
    assert content is not None, "links and devices were refused"
    if is_image(name):
        index.images[name] = (
            found.offset_data,
            found.size,
            hashlib.file_digest(cast(BufferedReader, content), "sha256").hexdigest(),
        )
    elif holds_label(name):
        index.texts[name] = label_text(name, content)
    else:
        index.others.append(name)


def shown(name: str) -> str:
    """Return a member's name as errors have it: quoted, and cut where it is long."""
    return repr(name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}...")


def odd(name: str, fault: str = "") -> str:
    """Why a member of an archive cannot be taken, by its name, if there is no other `fault`; empty for good ones."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if fault:
        return fault
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or not parts:
        return "would lie outside the archive's folder"
    if len(parts) > _MOST_PARTS:
        return f"has a path of {len(parts)} parts, and at most {_MOST_PARTS} are expected"
    return "has a drive's name" if re.match(r"[a-zA-Z]:", name) else ""


def shards_among(keys: Iterable[str], uri: str) -> tuple[list[str], list[str]]:
    """The tar shards among the keys of a folder, sorted, and all other keys; nothing where images lie in class folders beside
    them. Files that tools left (`._a.tar`) are neither shards nor images.

    Raises:
        DataError: archives that are no plain tars, and nothing else to train on.
    """
    keys = list(keys)
    if any("/" in key and is_image(key) for key in keys):
        return [], []
    packed = [key for key in keys if is_archive_name(key) and not is_skipped(key)]
    odd_ones = [key for key in packed if not key.lower().endswith(".tar")]
    if odd_ones:
        raise DataError(
            f"{uri}: {len(odd_ones)} archives that are no plain .tar:\n{listed(odd_ones, 5)}\n"
            "  Expected WebDataset shards, .tar each: unpack these, or name one archive of class folders as data.uri."
        )
    return sorted(packed), sorted(set(keys) - set(packed)) if packed else []
