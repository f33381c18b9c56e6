"""WebDataset's tar shards: what belongs to a sample, and shards that stay in their bucket.

The members of a sample share their name up to its first dot (`0001.jpg`, `0001.cls`); the label is in `.cls` or `.txt`, or in
`.json` under label, class, cls or class_name; the split is in the shard's name (`train-000.tar`).
Source: github.com/webdataset/webdataset, "The WebDataset format".
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.manifest import Manifest, Sample, listed, manifest_of, split_name
from raytl.errors import DataError
from raytl.events import OnEvent, Work
from raytl.store.cache import cache_root
from raytl.store.contract import ObjectInfo, ObjectStore
from raytl.store.files import written_whole
from raytl.store.open import part_of
from raytl.store.retry import retried

_LABELS = (".cls", ".txt")
_JSON_KEYS = ("label", "class", "cls", "class_name")
_BLOCK_BYTES = 4 << 20
_AT_ONCE = 8


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
    except ValueError:
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
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("unexpected end of data")


@dataclass(frozen=True)
class _Member:
    """An image in a shard: `size` bytes from `start` on, and its label, empty where it has none."""

    name: str
    start: int
    size: int
    label: str


def scan(store: ObjectStore, shards: Sequence[ObjectInfo], uri: str, on_event: OnEvent) -> Manifest:
    """The manifest of shards in a bucket; each sample's path is its part of the shard's URI. What is where in a shard is
    read once, and remembered.

    Raises:
        DataError: a shard cannot be read, or samples lack a label.
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
                samples.append(Sample(f"{name}/{member.name}", path, member.label, split_of(name)))
                objects[path] = replace(info, size=member.size)
    refuse_unlabelled(uri, problems)
    return replace(manifest_of(uri, samples), objects=objects)


def _index(store: ObjectStore, info: ObjectInfo, uri: str) -> list[_Member]:
    named = hashlib.sha256(f"{store.uri}/{info.key} {info.size} {info.etag}".encode()).hexdigest()[:24]
    place = cache_root() / "shards" / f"{named}.json"
    try:
        return [_Member(**row) for row in json.loads(place.read_bytes())]
    except (OSError, ValueError, TypeError):
        members = _read_index(store, info, uri)
    try:
        with written_whole(place) as part:
            part.write_text(json.dumps([asdict(member) for member in members]), encoding="utf-8")
    except OSError:
        pass  # a cache that cannot be written is no reason to stop
    return members


def _read_index(store: ObjectStore, info: ObjectInfo, uri: str) -> list[_Member]:
    images: list[tuple[str, int, int]] = []
    texts: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Remote(store, info), _BLOCK_BYTES), mode="r:") as tar:
            for found in tar:
                if found.isreg() and Path(found.name).suffix.lower() in IMAGE_SUFFIXES:
                    images.append((found.name, found.offset_data, found.size))
                elif found.isreg() and found.name.endswith((*_LABELS, ".json")):
                    content = tar.extractfile(found)
                    assert content is not None, "a regular file has content"
                    texts[found.name] = content.read()
            refuse_torn(tar)
    except (tarfile.TarError, EOFError) as exc:
        raise DataError(
            f"{uri}: {info.key} is no whole tar ({exc}); make it again (compressed ones are not streamed)"
        ) from exc
    return [_Member(name, start, size, label(texts.get, stem(name))) for name, start, size in sorted(images)]


class _Remote(io.RawIOBase):
    """An object as a file to read from, in ranges."""

    def __init__(self, store: ObjectStore, info: ObjectInfo) -> None:
        self._store, self._info, self._at = store, info, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._info.size - self._at)
        content = retried(lambda: self._store.get_bytes(self._info.key, self._at, max(0, wanted)))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
